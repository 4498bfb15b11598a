//! Which subsets of the features a model is asked about.
//!
//! Subsets weigh the more, the nearer their size is to none or all of the features. So sizes are taken whole from both ends
//! inward as long as the budget covers all subsets of a size; what is left of it goes to random subsets of the sizes between.

use std::collections::HashMap;

const WORD_BITS: usize = u64::BITS as usize;
/// Draws for each subset that may still be kept: with few subsets left, most draws repeat one.
const DRAWS_EACH: usize = 4;

/// Proper subsets of the features, each with its weight. The weights add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Coalitions {
    features: usize,
    /// Words of 64 features for each subset.
    words: usize,
    bits: Vec<u64>,
    weights: Vec<f64>,
    /// How many come before those that were drawn by chance.
    chosen: usize,
}

/// How many proper subsets so many features have: neither none of them, nor all.
#[must_use]
pub fn subsets(features: usize) -> usize {
    match u32::try_from(features).ok().and_then(|features| 1_usize.checked_shl(features)) {
        Some(all) if all > 0 => all.saturating_sub(2),
        _ => usize::MAX,
    }
}

impl Coalitions {
    /// At most `budget` subsets; all of them where they are no more.
    #[must_use]
    pub fn draw(features: usize, budget: usize, seed: u64) -> Self {
        let budget = budget.min(subsets(features));
        let mut drawn =
            Self { features, words: features.div_ceil(WORD_BITS), bits: Vec::new(), weights: Vec::new(), chosen: 0 };
        let shares = size_shares(features);
        let mut whole = 0;
        for (index, share) in shares.iter().enumerate() {
            let size = index + 1;
            let (sizes, count) = both_ends(features, size);
            if count > (budget - drawn.len()) as f64 {
                break;
            }
            for size in sizes {
                drawn.push_all(size, share / count);
            }
            whole = size;
        }
        drawn.chosen = drawn.len();
        let left = budget - drawn.len();
        if whole < shares.len() && left > 0 {
            drawn.push_random(&shares, whole, left, seed);
        }
        drawn.level();
        drawn
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are none, because a record has one feature or none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Whether every subset is among them, so that nothing is left to chance.
    #[must_use]
    pub fn is_exhaustive(&self) -> bool {
        self.len() == subsets(self.features)
    }

    /// The same without every `groups`-th pair of those that chance chose, the others weighing for them.
    pub(super) fn without(&self, group: usize, groups: usize) -> Self {
        let mut kept = self.clone();
        let first = if self.chosen == self.len() { 0 } else { self.chosen };
        let sum: f64 = self.weights[first..].iter().sum();
        for (place, weight) in kept.weights[first..].iter_mut().enumerate() {
            if place / 2 % groups == group {
                *weight = 0.0;
            }
        }
        let left: f64 = kept.weights[first..].iter().sum();
        if left > 0.0 {
            for weight in &mut kept.weights[first..] {
                *weight *= sum / left;
            }
        }
        kept
    }

    /// How many of them chance chose.
    pub(super) fn by_chance(&self) -> usize {
        self.len() - self.chosen
    }

    /// Whether a subset has a feature.
    #[must_use]
    pub fn has(&self, subset: usize, feature: usize) -> bool {
        self.mask(subset)[feature / WORD_BITS] >> (feature % WORD_BITS) & 1 == 1
    }

    pub(super) fn features(&self) -> usize {
        self.features
    }

    pub(super) fn weight(&self, subset: usize) -> f64 {
        self.weights[subset]
    }

    /// The features of a subset, ascending.
    pub(super) fn members(&self, subset: usize) -> impl Iterator<Item = usize> {
        (0..self.features).filter(move |&feature| self.has(subset, feature))
    }

    fn mask(&self, subset: usize) -> &[u64] {
        &self.bits[subset * self.words..(subset + 1) * self.words]
    }

    fn push(&mut self, members: &[usize], weight: f64) {
        let mask = self.mask_of(members);
        self.bits.extend(mask);
        self.weights.push(weight);
    }

    fn mask_of(&self, members: &[usize]) -> Vec<u64> {
        let mut mask = vec![0; self.words];
        for &member in members {
            mask[member / WORD_BITS] |= 1 << (member % WORD_BITS);
        }
        mask
    }

    /// Every subset of one size, in the order of its members.
    fn push_all(&mut self, size: usize, weight: f64) {
        let mut members: Vec<usize> = (0..size).collect();
        loop {
            self.push(&members, weight);
            let Some(place) = (0..size).rev().find(|&place| members[place] < self.features - size + place) else {
                return;
            };
            members[place] += 1;
            for next in place + 1..size {
                members[next] = members[next - 1] + 1;
            }
        }
    }

    /// Different random subsets of the sizes beyond those that are whole, each with its complement.
    fn push_random(&mut self, shares: &[f64], whole: usize, left: usize, seed: u64) {
        let mut dice = Dice(seed);
        let between = &shares[whole..];
        let sum: f64 = between.iter().sum();
        let mut order: Vec<usize> = (0..self.features).collect();
        let mut places: HashMap<Vec<u64>, usize> = HashMap::new();
        let first = self.len();
        for _ in 0..left.saturating_mul(DRAWS_EACH) {
            let mut at = dice.share() * sum;
            let step = between.iter().position(|share| {
                at -= share;
                at < 0.0
            });
            let size = whole + 1 + step.unwrap_or(between.len() - 1);
            for place in 0..size {
                order.swap(place, place + dice.below(self.features - place));
            }
            let (inside, outside) = order.split_at(size);
            for members in [inside, outside] {
                let mask = self.mask_of(members);
                match places.get(&mask) {
                    Some(&place) => self.weights[place] += 1.0,
                    None if self.len() - first < left => {
                        places.insert(mask, self.len());
                        self.push(members, 1.0);
                    }
                    None => {}
                }
            }
            if self.len() - first == left {
                break;
            }
        }
        // What was drawn stands for all subsets of its sizes.
        let counted: f64 = self.weights[first..].iter().sum();
        for weight in &mut self.weights[first..] {
            *weight *= sum / counted;
        }
    }

    /// Makes the weights add up to 1.
    fn level(&mut self) {
        let sum: f64 = self.weights.iter().sum();
        for weight in &mut self.weights {
            *weight /= sum;
        }
    }
}

/// How much the subsets of `size` and of the size that mirrors it weigh together, for sizes up to the middle: 1 over the
/// product of what is in and what is out.
fn size_shares(features: usize) -> Vec<f64> {
    let share = |size: usize| {
        let sides = if size * 2 == features { 1.0 } else { 2.0 };
        sides / (size * (features - size)) as f64
    };
    (1..=features / 2).map(share).collect()
}

/// A size with its mirror, and how many subsets both have.
fn both_ends(features: usize, size: usize) -> (Vec<usize>, f64) {
    let count = (0..size).fold(1.0, |count, place| count * (features - place) as f64 / (place + 1) as f64).round();
    if size * 2 == features { (vec![size], count) } else { (vec![size, features - size], 2.0 * count) }
}

/// SplitMix64: numbers that look random and never change with a library's version.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in 0.0..1.0.
    fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform below `bound`, which is small against 2^64.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).expect("our bug: below a usize")
    }
}
