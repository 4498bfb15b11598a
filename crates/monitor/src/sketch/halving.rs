//! Every second one of few numbers that are sorted: what lower levels of sketches of many rows are made of.
//!
//! A block is eight lanes side by side. Each is sorted for itself, by a network of compare-exchanges that does not depend on the
//! numbers (Batcher's merge of even and odd places, 191 of them for 32 numbers), so all lanes take each step together. No number
//! moves from lane to lane.
//!
//! Invariant: half of the numbers of each lane, from the smallest or the second smallest on. Every processor gives the same ones
//! in the same order. Refuses to: see NaN.

use crate::instructions::vectorised;

/// Lanes side by side.
const LANES: usize = 8;
/// Numbers of a lane.
const ROWS: usize = 32;
/// Numbers of a block.
pub(super) const BLOCK: usize = LANES * ROWS;

/// Rows that are compared and exchanged, in this order.
const NETWORK: [(u8, u8); 191] = {
    let mut network = [(0, 0); 191];
    let mut count = 0;
    let mut sorted = 1;
    while sorted < ROWS {
        let mut apart = sorted;
        while apart > 0 {
            let mut begin = apart % sorted;
            while begin + apart < ROWS {
                let mut row = begin;
                while row < begin + apart && row + apart < ROWS {
                    if row / (2 * sorted) == (row + apart) / (2 * sorted) {
                        network[count] = (row as u8, (row + apart) as u8);
                        count += 1;
                    }
                    row += 1;
                }
                begin += 2 * apart;
            }
            apart /= 2;
        }
        sorted *= 2;
    }
    assert!(count == network.len());
    network
};

vectorised! {
    /// Adds half of a block to what is above: of every second lane the numbers at odd places, of the others those at even ones.
    pub(super) fn halve(block: &[f64; BLOCK], odd_first: bool, above: &mut Vec<f64>) {
        let mut rows = [[0.0; LANES]; ROWS];
        for (row, numbers) in rows.iter_mut().zip(block.chunks_exact(LANES)) {
            row.copy_from_slice(numbers);
        }
        for &(upper, lower) in &NETWORK {
            let (upper, lower) = (usize::from(upper) % ROWS, usize::from(lower) % ROWS);
            let (a, b) = (rows[upper], rows[lower]);
            for lane in 0..LANES {
                // Written so that equal numbers, zeros of either sign, are never lost.
                rows[upper][lane] = if b[lane] < a[lane] { b[lane] } else { a[lane] };
                rows[lower][lane] = if b[lane] < a[lane] { a[lane] } else { b[lane] };
            }
        }
        let mut half = [0.0; BLOCK / 2];
        for (pair, half) in rows.chunks_exact(2).zip(half.chunks_exact_mut(LANES)) {
            for lane in 0..LANES {
                half[lane] = if (lane % 2 == 1) != odd_first { pair[1][lane] } else { pair[0][lane] };
            }
        }
        above.extend_from_slice(&half);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instructions::tests::of_older;

    fn bits(block: &[f64; BLOCK], odd_first: bool) -> Vec<u64> {
        let mut above = vec![7.0];
        halve(block, odd_first, &mut above);
        above.into_iter().map(f64::to_bits).collect()
    }

    proptest! {
        #[test]
        fn each_lane_gives_every_second_of_its_numbers_on_every_processor(
            numbers in prop::collection::vec(prop_oneof![-9e9..9e9_f64, (-3_i32..3).prop_map(f64::from)], BLOCK), odd_first: bool,
        ) {
            let block: [f64; BLOCK] = numbers.try_into().unwrap();
            let halved = bits(&block, odd_first);
            prop_assert_eq!(halved[0], 7.0_f64.to_bits());
            for lane in 0..LANES {
                let mut sorted: Vec<f64> = block.iter().skip(lane).step_by(LANES).copied().collect();
                sorted.sort_by(f64::total_cmp);
                let kept = sorted.iter().skip(usize::from((lane % 2 == 1) != odd_first)).step_by(2);
                let found = halved[1..].iter().skip(lane).step_by(LANES).map(|bits| f64::from_bits(*bits));
                prop_assert!(found.eq(kept.copied()));
            }
            prop_assert!(of_older(|| bits(&block, odd_first)).iter().all(|older| *older == halved));
        }

        #[test]
        fn zeros_of_either_sign_are_all_kept(signs in prop::collection::vec(any::<bool>(), BLOCK)) {
            let zeros: Vec<f64> = signs.iter().map(|&negative| if negative { -0.0 } else { 0.0 }).collect();
            let block: [f64; BLOCK] = zeros.try_into().unwrap();
            let negative = |bits: &[u64]| bits[1..].iter().filter(|bits| **bits != 0).count();
            let both = negative(&bits(&block, false)) + negative(&bits(&block, true));
            prop_assert_eq!(both, signs.iter().filter(|negative| **negative).count());
            prop_assert!(of_older(|| bits(&block, true)).iter().all(|older| *older == bits(&block, true)));
        }
    }
}
