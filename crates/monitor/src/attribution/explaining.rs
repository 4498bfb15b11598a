//! From rows to their attributions, as questions to a model and what it answers.
//!
//! ```text
//! baseline rows, then for each row: itself, and for each subset of its features every baseline row with those features
//! ```
//! Questions of one row and of the next share requests, so that no call goes out half empty.
//!
//! Invariant: questions come in one order, whatever the sizes of the requests; a row is explained when all of its questions
//! are answered, else not at all. Refuses to: count calls; that is done by whoever makes them.

use std::collections::VecDeque;

use captura_attribution::kernel::{Coalitions, attributions, deviations, subsets};
use captura_attribution::record::{Feature, Record};

use super::Wording;
use super::asking::{Questions, Refused, agreed};

/// Subsets that are asked about where nothing is said and the budget has room: this many, and twice as many as there are features.
const SAMPLES_DEFAULT: usize = 1 << 11;
/// Subsets below which the budget explains fewer rows instead.
const SAMPLES_SPARSE: usize = 64;
/// Log-odds of probabilities are computed no nearer to 0 and 1 than this, where they are infinite.
const PROBABILITY_MARGIN: f64 = f64::EPSILON;

/// What may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most calls to the model.
    pub calls: usize,
    /// Most rows of a call.
    pub rows_per_call: usize,
    /// Largest body of a call, bytes.
    pub body_max_bytes: usize,
    /// Most rows that are explained.
    pub rows: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { calls: 200, rows_per_call: 500, body_max_bytes: 5 << 20, rows: 200 }
    }
}

impl Budget {
    /// How many subsets of so many features are asked about for each of so many rows: as many as are wanted, else as many as
    /// let the budget explain all rows, but not so few that nothing would be known of any.
    #[must_use]
    pub fn samples(&self, wanted: Option<usize>, features: usize, rows: usize, baseline: usize) -> usize {
        let usual = 2 * features + SAMPLES_DEFAULT;
        let sparse = (2 * features + SAMPLES_SPARSE).min(usual);
        let questions = self.calls.saturating_mul(self.rows_per_call) / rows.max(1) / baseline.max(1);
        wanted.unwrap_or_else(|| questions.clamp(sparse, usual)).min(subsets(features))
    }
}

/// A row with what its features add.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Which of the rows.
    pub row: usize,
    /// What the model answers to it, in log-odds where asked for.
    pub prediction: Vec<f64>,
    /// What each feature adds to each output, feature by feature.
    pub added: Vec<f64>,
    /// Standard deviations of `added`; absent where too few subsets were asked about to tell.
    pub deviations: Option<Vec<f64>>,
}

/// How rows are explained.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Most subsets for a row.
    pub samples: usize,
    /// Of the subsets by chance.
    pub seed: u64,
    /// Whether attributions are of log-odds.
    pub use_logit: bool,
}

/// A row of which questions are open.
struct Open {
    row: usize,
    varying: Vec<usize>,
    drawn: Coalitions,
    answered: usize,
    prediction: Vec<f64>,
    /// Mean answers, subset by subset.
    means: Vec<f64>,
}

/// Rows on their way to being explained.
pub struct Explaining<'a> {
    rows: &'a [Record],
    baseline: &'a [Record],
    wording: &'a Wording,
    settings: Settings,
    outputs: Option<usize>,
    /// Mean answer to the baseline, in log-odds where asked for, once it is complete.
    expected: Vec<f64>,
    base_answered: usize,
    open: VecDeque<Open>,
    next_row: usize,
    done: Vec<Explained>,
}

impl<'a> Explaining<'a> {
    /// Starts; rows and baseline have the same features, and there is a baseline row.
    #[must_use]
    pub fn new(rows: &'a [Record], baseline: &'a [Record], wording: &'a Wording, settings: Settings) -> Self {
        Self {
            rows,
            baseline,
            wording,
            settings,
            outputs: None,
            expected: Vec::new(),
            base_answered: 0,
            open: VecDeque::new(),
            next_row: 0,
            done: Vec::new(),
        }
    }

    /// How many numbers the model answers to a row, once it has answered.
    #[must_use]
    pub fn outputs(&self) -> Option<usize> {
        self.outputs
    }

    /// Mean answer to the baseline and the rows that were explained.
    #[must_use]
    pub fn finish(self) -> (Vec<f64>, Vec<Explained>) {
        (self.expected, self.done)
    }

    fn take_one(&mut self, numbers: &[f64]) -> Result<(), Refused> {
        let bases = self.baseline.len();
        if self.base_answered < bases {
            self.expected.resize(numbers.len(), 0.0);
            add_share(&mut self.expected, numbers, bases);
            self.base_answered += 1;
            if self.base_answered == bases {
                link(&mut self.expected, self.settings.use_logit)?;
            }
            return Ok(());
        }
        let open = self.open.front_mut().expect("our bug: answers come to what was asked");
        if open.answered == 0 {
            open.prediction = numbers.to_vec();
            open.means = vec![0.0; open.drawn.len() * numbers.len()];
        } else {
            let subset = (open.answered - 1) / bases;
            add_share(&mut open.means[subset * numbers.len()..][..numbers.len()], numbers, bases);
        }
        open.answered += 1;
        if open.answered == 1 + open.drawn.len() * bases {
            let open = self.open.pop_front().expect("our bug: it was there");
            let explained = self.explained(open)?;
            self.done.push(explained);
        }
        Ok(())
    }

    fn questions(&self, open: &Open) -> usize {
        1 + open.drawn.len() * self.baseline.len()
    }

    /// Opens the next row; false when there is none.
    fn begin_row(&mut self) -> bool {
        let Some(record) = self.rows.get(self.next_row) else { return false };
        let differs = |feature: &usize| self.baseline.iter().any(|base| !record[*feature].is_same_as(&base[*feature]));
        let varying: Vec<usize> = (0..record.len()).filter(differs).collect();
        let seed = self.settings.seed ^ (self.next_row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Subsets of one row are drawn apart from those of the next, so that errors do not add up over the rows.
        let drawn = Coalitions::draw(varying.len(), self.settings.samples, seed);
        self.open.push_back(Open {
            row: self.next_row,
            varying,
            drawn,
            answered: 0,
            prediction: Vec::new(),
            means: Vec::new(),
        });
        self.next_row += 1;
        true
    }

    fn write(&self, open: &Open, question: usize, first: bool, body: &mut Vec<u8>) {
        let record = &self.rows[open.row];
        let Some(mixed) = question.checked_sub(1) else {
            return self.wording.row(first, record.iter(), body);
        };
        let (subset, base) = (mixed / self.baseline.len(), &self.baseline[mixed % self.baseline.len()]);
        let mut features: Vec<&Feature> = record.iter().collect();
        for (place, &feature) in open.varying.iter().enumerate() {
            if !open.drawn.has(subset, place) {
                features[feature] = &base[feature];
            }
        }
        self.wording.row(first, features.into_iter(), body);
    }

    fn explained(&self, open: Open) -> Result<Explained, Refused> {
        let Open { row, varying, drawn, mut prediction, mut means, .. } = open;
        let (outputs, logit) = (prediction.len(), self.settings.use_logit);
        link(&mut prediction, logit)?;
        for means in means.chunks_exact_mut(outputs) {
            link(means, logit)?;
            for (mean, expected) in means.iter_mut().zip(&self.expected) {
                *mean -= expected;
            }
        }
        let features = self.rows[row].len();
        let spread = |values: &[f64]| {
            let mut all = vec![0.0; features * outputs];
            for (place, &feature) in varying.iter().enumerate() {
                all[feature * outputs..][..outputs].copy_from_slice(&values[place * outputs..][..outputs]);
            }
            all
        };
        if varying.is_empty() {
            let none = vec![0.0; features * outputs];
            return Ok(Explained { row, prediction, added: none.clone(), deviations: Some(none) });
        }
        let whole: Vec<f64> = prediction.iter().zip(&self.expected).map(|(one, base)| one - base).collect();
        let added = spread(&attributions(&drawn, &means, &whole));
        let deviations = deviations(&drawn, &means, &whole).map(|values| spread(&values));
        Ok(Explained { row, prediction, added, deviations })
    }
}

impl Questions for Explaining<'_> {
    fn request(&mut self, rows_max: usize, body_max_bytes: usize) -> Result<Option<(Vec<u8>, usize)>, Refused> {
        // Places within the open rows, without taking anything as answered.
        let (mut base, mut place, mut at) = (self.base_answered, 0, None);
        self.wording.filled(rows_max, body_max_bytes, |first, body| {
            if base < self.baseline.len() {
                self.wording.row(first, self.baseline[base].iter(), body);
                base += 1;
                return true;
            }
            if place == self.open.len() && !self.begin_row() {
                return false;
            }
            let open = &self.open[place];
            let question = at.unwrap_or(open.answered);
            self.write(open, question, first, body);
            let is_last = question + 1 == self.questions(open);
            (place, at) = if is_last { (place + 1, None) } else { (place, Some(question + 1)) };
            true
        })
    }

    /// # Errors
    /// Also when log-odds are asked of what is no probability.
    fn take(&mut self, answers: &[Vec<f64>]) -> Result<(), Refused> {
        for numbers in answers {
            agreed(&mut self.outputs, numbers)?;
            self.take_one(numbers)?;
        }
        Ok(())
    }
}

/// Log-odds of probabilities, where asked for.
fn link(numbers: &mut [f64], use_logit: bool) -> Result<(), Refused> {
    for number in numbers.iter_mut().filter(|_| use_logit) {
        if !(0.0..=1.0).contains(number) {
            let text = format!("use_logit is for probabilities from 0 to 1, and the model answered {number}");
            return Err(Refused(text));
        }
        let probability = number.clamp(PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN);
        *number = (probability / (1.0 - probability)).ln();
    }
    Ok(())
}

fn add_share(sums: &mut [f64], numbers: &[f64], count: usize) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum += number / count as f64;
    }
}
