//! Against Shapley values computed from their definition.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// From the definition: the mean, over all orders of the features, of what each adds to those before it.
/// `worth` holds a value for each subset, by the bits of its features.
fn shapley(features: usize, worth: &[f64]) -> Vec<f64> {
    let factorial = |number: usize| (1..=number).map(|factor| factor as f64).product::<f64>();
    let value = |feature: usize| {
        let without = (0..1_usize << features).filter(|subset| subset >> feature & 1 == 0);
        let added = without.map(|subset| {
            let size = subset.count_ones() as usize;
            let orders = factorial(size) * factorial(features - size - 1) / factorial(features);
            orders * (worth[subset | 1 << feature] - worth[subset])
        });
        added.sum()
    };
    (0..features).map(value).collect()
}

fn bits(coalitions: &Coalitions, subset: usize) -> usize {
    (0..coalitions.features()).filter(|&feature| coalitions.has(subset, feature)).map(|feature| 1 << feature).sum()
}

/// What the fit says of a game, with as many subsets as the budget allows.
fn fitted(features: usize, worth: &[f64], budget: usize) -> Vec<f64> {
    let drawn = Coalitions::draw(features, budget, 7);
    let gains: Vec<f64> = (0..drawn.len()).map(|subset| worth[bits(&drawn, subset)] - worth[0]).collect();
    attributions(&drawn, &gains, &[worth[worth.len() - 1] - worth[0]])
}

fn near(one: &[f64], other: &[f64], tolerance: f64) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| (one - other).abs() <= tolerance)
}

proptest! {
    #[test]
    fn with_every_subset_the_fit_is_the_shapley_value(
        features in 1_usize..7,
        numbers in prop::collection::vec(-1e3_f64..1e3, 64),
    ) {
        let worth = &numbers[..1 << features];
        let (fit, exact) = (fitted(features, worth, usize::MAX), shapley(features, worth));
        prop_assert!(near(&fit, &exact, 1e-9 * 1e3), "{fit:?} {exact:?}");
    }

    #[test]
    fn with_few_subsets_the_attributions_still_add_up(
        features in 2_usize..9,
        budget in 1_usize..60,
        numbers in prop::collection::vec(-1e3_f64..1e3, 256),
    ) {
        let worth = &numbers[..1 << features];
        let fit = fitted(features, worth, budget);
        let whole = worth[worth.len() - 1] - worth[0];
        prop_assert!((fit.iter().sum::<f64>() - whole).abs() < 1e-9 * 1e4, "{fit:?} {whole}");
        prop_assert!(fit.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn subsets_are_proper_different_and_within_the_budget(features in 2_usize..90, budget in 1_usize..400, seed: u64) {
        let drawn = Coalitions::draw(features, budget, seed);
        prop_assert!(drawn.len() <= budget.min(subsets(features)));
        prop_assert!(drawn.len() >= budget.min(subsets(features)) / 2, "{}", drawn.len());
        let members = |subset| drawn.members(subset).collect::<Vec<_>>();
        let all: BTreeSet<Vec<usize>> = (0..drawn.len()).map(members).collect();
        prop_assert_eq!(all.len(), drawn.len());
        prop_assert!(all.iter().all(|members| (1..features).contains(&members.len())));
        let weights: f64 = (0..drawn.len()).map(|subset| drawn.weight(subset)).sum();
        prop_assert!((weights - 1.0).abs() < 1e-9);
        prop_assert_eq!(&Coalitions::draw(features, budget, seed), &drawn);
    }
}

#[test]
fn several_outputs_are_fitted_each_for_itself() {
    let worth: Vec<Vec<f64>> =
        (0..2).map(|output| (0..16).map(|set: i32| f64::from(set * set % (7 + output))).collect()).collect();
    let drawn = Coalitions::draw(4, usize::MAX, 0);
    let gain = |subset: usize| worth.iter().map(move |worth| worth[subset] - worth[0]);
    let gains: Vec<f64> = (0..drawn.len()).flat_map(|subset| gain(bits(&drawn, subset))).collect();
    let added = attributions(&drawn, &gains, &gain(15).collect::<Vec<_>>());
    for (output, worth) in worth.iter().enumerate() {
        let of_it: Vec<f64> = added.chunks_exact(2).map(|feature| feature[output]).collect();
        assert!(near(&of_it, &shapley(4, worth), 1e-9), "{of_it:?}");
    }
}

#[test]
fn what_is_additive_is_told_exactly_from_samples() {
    let features = 70;
    let worth = |feature: usize| feature as f64 - 30.5;
    let drawn = Coalitions::draw(features, 2 * features + 2_048, 3);
    assert_eq!(drawn.len(), 2 * features + 2_048);
    let gains: Vec<f64> = (0..drawn.len()).map(|subset| drawn.members(subset).map(worth).sum()).collect();
    let added = attributions(&drawn, &gains, &[(0..features).map(worth).sum()]);
    assert!(near(&added, &(0..features).map(worth).collect::<Vec<_>>(), 1e-8), "{added:?}");
}

#[test]
fn samples_come_near_to_the_shapley_values() {
    // Pairs of neighbours that only count together, among features that count alone.
    let features = 14;
    let worth = |set: usize| {
        let alone: f64 = (0..features).filter(|feature| set >> feature & 1 == 1).map(|feature| feature as f64).sum();
        let together: f64 =
            (1..features).filter(|feature| set >> (feature - 1) & 3 == 3).map(|feature| 2.0 * feature as f64).sum();
        alone + together
    };
    let worth: Vec<f64> = (0..1 << features).map(worth).collect();
    let (fit, exact) = (fitted(features, &worth, 2 * features + 2_048), shapley(features, &worth));
    assert!(near(&fit, &exact, 0.5), "{fit:?} {exact:?}");
}

#[test]
fn features_that_no_subset_tells_apart_share_alike() {
    let drawn = Coalitions::draw(6, 1, 1);
    let inside: Vec<usize> = drawn.members(0).collect();
    let added = attributions(&drawn, &[1.0], &[3.0]);
    let (of_inside, of_outside) = (1.0 / inside.len() as f64, 2.0 / (6 - inside.len()) as f64);
    for (feature, added) in added.iter().enumerate() {
        let wanted = if inside.contains(&feature) { of_inside } else { of_outside };
        assert!((added - wanted).abs() < 1e-3, "{feature} {added} {wanted}");
    }
}

#[test]
fn so_many_subsets_there_are() {
    assert_eq!((subsets(1), subsets(2), subsets(10)), (0, 2, 1_022));
    assert_eq!((subsets(0), subsets(200)), (0, usize::MAX));
}

/// Features that count alone, and pairs of neighbours, and of strangers, that only count together.
fn tangled(features: usize) -> Vec<f64> {
    let worth = |set: usize| {
        let has = |feature: usize| f64::from(u8::from(set >> feature & 1 == 1));
        let alone: f64 = (0..features).map(|feature| feature as f64 * has(feature)).sum();
        let pairs: f64 = (1..features).map(|feature| 3.0 * has(feature) * has(feature - 1)).sum();
        let strangers: f64 = (0..features / 2).map(|feature| 5.0 * has(feature) * has(features - 1 - feature)).sum();
        alone + pairs + strangers + 4.0 * has(0) * has(2) * has(5)
    };
    (0..1 << features).map(worth).collect()
}

#[test]
fn the_error_that_is_told_is_the_error_that_is_made() {
    let (features, budget, draws) = (12, 400, 60);
    let worth = tangled(features);
    let exact = shapley(features, &worth);
    let (mut within, mut told, mut made) = (0, 0.0, 0.0);
    for seed in 0..draws {
        let drawn = Coalitions::draw(features, budget, seed);
        let gains: Vec<f64> = (0..drawn.len()).map(|subset| worth[bits(&drawn, subset)] - worth[0]).collect();
        let whole = [worth[worth.len() - 1] - worth[0]];
        let fit = attributions(&drawn, &gains, &whole);
        let deviations = deviations(&drawn, &gains, &whole).unwrap();
        for ((fit, exact), deviation) in fit.iter().zip(&exact).zip(&deviations) {
            within += u64::from((fit - exact).abs() <= 2.0 * deviation);
            told += deviation * deviation;
            made += (fit - exact).powi(2);
        }
    }
    let share = within as f64 / (draws * features as u64) as f64;
    assert!(share > 0.9, "two deviations held {share} of the values");
    assert!((0.7..2.5).contains(&(told / made)), "told {told}, made {made}");
}

#[test]
fn nothing_is_told_of_too_few_subsets_and_no_error_of_all() {
    let worth = tangled(8);
    let of = |budget: usize| {
        let drawn = Coalitions::draw(8, budget, 1);
        let gains: Vec<f64> = (0..drawn.len()).map(|subset| worth[bits(&drawn, subset)] - worth[0]).collect();
        deviations(&drawn, &gains, &[worth[255] - worth[0]])
    };
    assert_eq!(of(usize::MAX), Some(vec![0.0; 8]));
    assert_eq!(of(20), None);
    assert!(of(60).unwrap().iter().all(|&deviation| deviation > 0.0));
}
