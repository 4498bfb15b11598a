//! Whether the time of a comparison tells how far a guessed signature is right: Welch's t-test, as in dudect.
//!
//! Guesses that are right up to their last character and guesses that are wrong from their first are compared in an order
//! of chance, each timed alone; the slowest are left out, as they tell of the machine. The same is done with a comparison
//! that stops where the two differ: it must be seen, or the measurement proves nothing.
//!
//! ```text
//! cargo bench -p captura-wire --bench comparison [-- MEASUREMENTS]
//! ```
//! Refuses to: be a test. A time is an opinion of the machine; the figures are noted in `docs/security.md`.
#![expect(clippy::print_stdout, reason = "a measurement speaks to the person who ran it")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use captura_wire::sigv4::same;

/// Measurements of each comparison.
const MEASUREMENTS: usize = 1_000_000;
/// Comparisons of one measurement: a clock is too coarse for one alone.
const COMPARISONS: usize = 16;
/// Share of the measurements that are kept, the fastest.
const KEPT: f64 = 0.95;
/// Beyond it the two kinds of guesses are told apart.
const T_MAX: f64 = 4.5;
/// A signature: 64 hexadecimal digits.
const LENGTH: usize = 64;

type Comparison = fn(&[u8], &[u8]) -> bool;

/// Stops where the two differ.
fn hasty(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other)
}

/// Numbers of chance, the same in every run.
struct Dice(u64);

impl Dice {
    fn is_heads(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 63 == 1
    }
}

/// Nanoseconds of guesses that are right up to the last character, and of those that are wrong from the first.
fn measure(compare: Comparison, measurements: usize) -> [Vec<f64>; 2] {
    let right = [b'a'; LENGTH];
    let (mut nearly, mut hardly) = (right, right);
    nearly[LENGTH - 1] = b'b';
    hardly[0] = b'b';
    let (mut dice, mut times) = (Dice(0x9e37_79b9_7f4a_7c15), [Vec::new(), Vec::new()]);
    for _ in 0..measurements {
        let kind = usize::from(dice.is_heads());
        let guess = [nearly, hardly][kind];
        let begun = Instant::now();
        for _ in 0..COMPARISONS {
            black_box(compare(black_box(&right), black_box(&guess)));
        }
        times[kind].push(begun.elapsed().as_nanos() as f64);
    }
    times
}

/// Welch's t of two samples, the slowest of all left out.
fn welch([one, other]: &[Vec<f64>; 2]) -> f64 {
    let mut all: Vec<f64> = one.iter().chain(other).copied().collect();
    all.sort_by(f64::total_cmp);
    let longest = all[((all.len() - 1) as f64 * KEPT) as usize];
    let moments = |times: &[f64]| {
        let kept: Vec<f64> = times.iter().copied().filter(|time| *time <= longest).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((mean_one, error_one), (mean_other, error_other)) = (moments(one), moments(other));
    (mean_one - mean_other) / (error_one + error_other).sqrt()
}

fn main() -> ExitCode {
    // `cargo bench` adds `--bench` of its own.
    let measurements = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(MEASUREMENTS);
    println!("| comparison | measurements of {COMPARISONS} | Welch's t |\n| --- | --- | --- |");
    let t = |name: &str, compare: Comparison| {
        let t = welch(&measure(compare, measurements));
        println!("| {name} | {measurements} | {t:.2} |");
        t.abs()
    };
    let (careful, hasty) = (t("of signatures", same), t("that stops where they differ", hasty));
    if hasty <= T_MAX {
        println!("Nothing can be said: not even a comparison that stops early was told apart (|t| <= {T_MAX}).");
        return ExitCode::from(3);
    }
    if careful > T_MAX { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
