//! A baseline out of the data, where none is given: rows that stand for all of them.
//!
//! k-means, or with texts among the features k-prototypes: numbers by their distance in standard deviations, texts by whether
//! they are the same. A centre has the mean of its rows' numbers (whole where all of a column are) and their commonest text.
//!
//! Invariant: the same rows and seed give the same centres. Refuses to: make more centres than there are rows.

use std::collections::BTreeMap;

use captura_attribution::record::{Feature, Record};

use crate::dice::Dice;

/// Rounds after which centres are taken as they are.
const ROUNDS_MAX: usize = 50;

/// A column over all rows.
enum Column {
    /// Numbers in standard deviations from their mean; those that are missing lie on it.
    Numbers { values: Vec<f64>, mean: f64, deviation: f64, whole: bool },
    /// Places in the list of different texts.
    Texts { values: Vec<usize>, texts: Vec<Feature> },
}

/// At most `count` rows that stand for these, which are not none.
#[must_use]
pub fn clustered(rows: &[Record], count: usize, seed: u64) -> Vec<Record> {
    let columns: Vec<Column> = (0..rows[0].len()).map(|column| Column::of(rows, column)).collect();
    let mut centres = first_centres(&columns, rows.len(), count.clamp(1, rows.len()), seed);
    let mut nearest = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let again: Vec<usize> = (0..rows.len()).map(|row| closest(&columns, &centres, row).0).collect();
        if again == nearest {
            break;
        }
        nearest = again;
        for (place, centre) in centres.iter_mut().enumerate() {
            let members: Vec<usize> = (0..rows.len()).filter(|&row| nearest[row] == place).collect();
            if !members.is_empty() {
                *centre = columns.iter().map(|column| column.middle(&members)).collect();
            }
        }
    }
    let record = |centre: &Vec<f64>| columns.iter().zip(centre).map(|(column, &place)| column.feature(place)).collect();
    centres.iter().map(record).collect()
}

/// One row by chance, and then such as lie far from all that are chosen (k-means++).
fn first_centres(columns: &[Column], rows: usize, count: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut dice = Dice::new(seed, 0);
    let at = |row: usize| -> Vec<f64> { columns.iter().map(|column| column.place(row)).collect() };
    let mut centres = vec![at(dice.below(rows))];
    while centres.len() < count {
        let distances: Vec<f64> = (0..rows).map(|row| closest(columns, &centres, row).1).collect();
        let sum: f64 = distances.iter().sum();
        if sum == 0.0 {
            break;
        }
        let mut left = dice.unit() * sum;
        let chosen = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        let last = distances.iter().rposition(|&distance| distance > 0.0).expect("our bug: their sum is not zero");
        centres.push(at(chosen.unwrap_or(last)));
    }
    centres
}

/// The nearest centre to a row, and its squared distance.
fn closest(columns: &[Column], centres: &[Vec<f64>], row: usize) -> (usize, f64) {
    let distance =
        |centre: &Vec<f64>| columns.iter().zip(centre).map(|(column, place)| column.distance(row, *place)).sum();
    let distances = centres.iter().map(distance).enumerate();
    distances.min_by(|one: &(usize, f64), other| one.1.total_cmp(&other.1)).expect("our bug: there is a centre")
}

impl Column {
    fn of(rows: &[Record], column: usize) -> Self {
        let is_blank = |feature: &Feature| feature.as_cell().trim().is_empty();
        if rows.iter().any(|row| !row[column].is_number() && !is_blank(&row[column])) {
            let (mut known, mut texts) = (BTreeMap::new(), Vec::new());
            let place = |row: &Record| {
                *known.entry(row[column].as_cell().into_owned()).or_insert_with(|| {
                    texts.push(row[column].clone());
                    texts.len() - 1
                })
            };
            return Self::Texts { values: rows.iter().map(place).collect(), texts };
        }
        let numbers: Vec<Option<f64>> = rows.iter().map(|row| row[column].number()).collect();
        let present = numbers.iter().flatten().count().max(1) as f64;
        let mean = numbers.iter().flatten().sum::<f64>() / present;
        let variance = numbers.iter().flatten().map(|number| (number - mean).powi(2)).sum::<f64>() / present;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let whole = numbers.iter().flatten().all(|number| number.fract() == 0.0);
        let values = numbers.iter().map(|number| number.map_or(0.0, |number| (number - mean) / deviation)).collect();
        Self::Numbers { values, mean, deviation, whole }
    }

    fn place(&self, row: usize) -> f64 {
        match self {
            Self::Numbers { values, .. } => values[row],
            Self::Texts { values, .. } => values[row] as f64,
        }
    }

    fn distance(&self, row: usize, place: f64) -> f64 {
        match self {
            Self::Numbers { values, .. } => (values[row] - place).powi(2),
            Self::Texts { values, .. } => f64::from(u8::from(values[row] as f64 != place)),
        }
    }

    fn middle(&self, members: &[usize]) -> f64 {
        match self {
            Self::Numbers { values, .. } => members.iter().map(|&row| values[row]).sum::<f64>() / members.len() as f64,
            Self::Texts { values, texts } => {
                let mut counts = vec![0_usize; texts.len()];
                members.iter().for_each(|&row| counts[values[row]] += 1);
                // Of equally common ones the first.
                (0..counts.len()).rev().max_by_key(|&text| counts[text]).unwrap_or(0) as f64
            }
        }
    }

    fn feature(&self, place: f64) -> Feature {
        match self {
            Self::Numbers { mean, deviation, whole, .. } => {
                let number = mean + deviation * place;
                let number = if *whole { number.round() } else { number };
                Feature::Cell(number.to_string().into())
            }
            Self::Texts { texts, .. } => texts[place as usize].clone(),
        }
    }
}
