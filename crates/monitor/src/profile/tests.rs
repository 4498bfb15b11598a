//! Profiles of batches, split and merged.

use proptest::prelude::*;

use super::*;
use crate::dataset::{Columns, Header, Plan, Reader};
use crate::instructions::tests::of_older;

fn profile(csv: &str) -> DatasetProfile {
    let mut profile = DatasetProfile::default();
    let plan = Plan { columns: Some(Columns::named(["a", "b"].map(String::from)).with_text(["b"])), ..Plan::default() };
    let mut reader = Reader::new(plan, |batch| profile.update(&batch));
    reader.csv("test", csv.as_bytes(), Header::No);
    assert_eq!(reader.finish().bad, 0);
    profile
}

#[test]
fn a_small_table_has_the_statistics_one_computes_by_hand() {
    let profile = profile("2,x\n4,y\n,x\n4.0,7\n");
    let [a, b] = &profile.columns[..] else { panic!("two columns") };
    assert_eq!((a.present(), a.missing, a.completeness(), a.inferred_type()), (3, 1, 0.75, InferredType::Fractional));
    assert_eq!((a.moments.sum(), a.moments.min(), a.moments.max(), a.distinct()), (10.0, Some(2.0), Some(4.0), 2));
    assert!((a.moments.standard_deviation().unwrap() - (8.0_f64 / 9.0).sqrt()).abs() < 1e-15);
    assert_eq!((b.inferred_type(), b.distinct(), b.kinds.integral, b.moments.count()), (InferredType::String, 3, 1, 1));
    assert_eq!(b.categories.counts().unwrap().into_iter().collect::<Vec<_>>(), [("7", 1), ("x", 2), ("y", 1)]);
}

#[test]
fn too_many_categories_are_given_up_in_any_order() {
    let many: String = (0..1100).map(|i| format!("1,v{i}\n")).collect();
    let half: String = (0..600).map(|i| format!("1,v{i}\n")).collect();
    let other: String = (500..1100).map(|i| format!("1,v{i}\n")).collect();
    let mut merged = profile(&half);
    assert!(merged.columns[1].categories.counts().is_some());
    merged.merge(&profile(&other)).unwrap();
    assert_eq!(merged.columns[1].categories, profile(&many).columns[1].categories);
    assert!((1000..1200).contains(&merged.columns[1].distinct()));
}

#[test]
fn profiles_of_other_columns_do_not_merge() {
    let mut mine = DatasetProfile::of_columns(&["a".into()]);
    assert!(mine.merge(&DatasetProfile::of_columns(&["b".into()])).is_err());
    assert!(mine.merge(&DatasetProfile::default()).is_ok());
}

#[test]
fn large_offsets_do_not_eat_the_spread() {
    let mut moments = Moments::default();
    for chunk in 0..100 {
        let values: Vec<f64> = (0..100).map(|i| 1e9 + f64::from((chunk * 100 + i) % 2)).collect();
        moments.merge(&Moments::of(&values));
    }
    assert_eq!(moments.standard_deviation(), Some(0.5));
}

proptest! {
    #[test]
    fn every_processor_gives_the_same_bits(rows in prop::collection::vec((-1e3_f64..1e6, 0_u32..300), 1..3_000)) {
        let text: String = rows.iter().map(|(a, b)| format!("{a:.4},{b}\n")).collect();
        let numbers = || {
            let mut profile = DatasetProfile::default();
            let mut reader = Reader::new(Plan::default(), |batch| profile.update(&batch));
            reader.csv("test", text.as_bytes(), Header::No);
            assert_eq!(reader.finish().bad, 0);
            profile
        };
        let newest = numbers();
        of_older(numbers).iter().for_each(|older| assert_eq!(*older, newest));
    }

    #[test]
    fn order_and_grouping_of_merges_change_no_count_sum_or_extreme(
        rows in prop::collection::vec((prop::option::of(-1e6_f64..1e6), 0_u8..5), 1..200), cut in 0.0_f64..1.0,
    ) {
        let text = |rows: &[(Option<f64>, u8)]| -> String {
            rows.iter().map(|(a, b)| format!("{},k{b}\n", a.map_or(String::new(), |a| a.to_string()))).collect()
        };
        let (left, right) = rows.split_at((rows.len() as f64 * cut) as usize);
        let whole = profile(&text(&rows));
        for (first, second) in [(left, right), (right, left)] {
            let mut merged = profile(&text(first));
            merged.merge(&profile(&text(second))).unwrap();
            prop_assert_eq!(merged.rows, whole.rows);
            for (mine, all) in merged.columns.iter().zip(&whole.columns) {
                prop_assert_eq!((mine.present(), mine.missing, mine.kinds, mine.distinct()), (all.present(), all.missing, all.kinds, all.distinct()));
                prop_assert_eq!((mine.moments.min(), mine.moments.max()), (all.moments.min(), all.moments.max()));
                prop_assert_eq!(mine.quantiles.weighted(), all.quantiles.weighted());
                prop_assert_eq!(&mine.categories, &all.categories);
                prop_assert!((mine.moments.sum() - all.moments.sum()).abs() <= 1e-9);
                let (mine, all) = (mine.moments.standard_deviation(), all.moments.standard_deviation());
                prop_assert!(mine == all || (mine.unwrap() - all.unwrap()).abs() <= 1e-6 * all.unwrap().max(1e-3));
            }
        }
    }
}
