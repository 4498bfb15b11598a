//! Every fourth one of many numbers that are sorted: what lower levels of sketches of many rows are made of.
//!
//! A block is eight lanes side by side. Each is sorted for itself, by a network of compare-exchanges that does not depend on the
//! numbers (sixteen rows at a time by Green's network, then Batcher's bitonic merges), so all lanes take each step together and
//! sixteen rows stay in registers for many steps. No number moves from lane to lane.
//!
//! Invariant: a quarter of the numbers of each lane, from one of the four smallest on. Every processor gives the same ones in the
//! same order. Refuses to: see NaN.

#[cfg(target_arch = "x86_64")]
use crate::instructions::{Instructions, instructions};

/// Lanes side by side.
const LANES: usize = 8;
/// Numbers of a lane.
const ROWS: usize = 256;
/// Numbers of a block.
pub(super) const BLOCK: usize = LANES * ROWS;
/// One of so many is kept.
pub(super) const STRIDE: usize = 4;
/// Rows that are sorted, and merged rows that are put in order, within registers.
const GROUP: usize = 16;

/// Adds a quarter of a block to what is above: of each lane every fourth number, of the first lane from the one at `turn` on, of
/// those beside it from the next one on, in turn.
pub(super) fn quarter(block: &[f64; BLOCK], turn: usize, above: &mut Vec<f64>) {
    let mut kept = [0.0; BLOCK / STRIDE];
    quarter_into(block, turn, &mut kept);
    above.extend_from_slice(&kept);
}

fn quarter_into(block: &[f64; BLOCK], turn: usize, kept: &mut [f64; BLOCK / STRIDE]) {
    #[cfg(target_arch = "x86_64")]
    match instructions() {
        Instructions::Newest => {
            #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
            return unsafe { vectors::newest(block, turn, kept) };
        }
        Instructions::Newer => {
            #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
            return unsafe { vectors::newer(block, turn, kept) };
        }
        Instructions::Common => {}
    }
    let ordered = |a, b| if b < a { [b, a] } else { [a, b] };
    some_lanes(block, turn, kept, (|[number]: &[f64; 1]| *number, |number| [*number], ordered));
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::*;

    use super::{BLOCK, STRIDE, some_lanes};
    use crate::instructions::vectors::{four_numbers, numbers, of_4_numbers, of_8_numbers};

    // Of two equal numbers, zeros of either sign, both forms of comparison give the second one, so that none is lost.

    #[target_feature(enable = "avx512f")]
    pub(super) fn newest(block: &[f64; BLOCK], turn: usize, kept: &mut [f64; BLOCK / STRIDE]) {
        let ordered = |a, b| [_mm512_min_pd(b, a), _mm512_max_pd(a, b)];
        some_lanes(block, turn, kept, (|lanes| of_8_numbers(lanes), |lanes| numbers(lanes), ordered));
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn newer(block: &[f64; BLOCK], turn: usize, kept: &mut [f64; BLOCK / STRIDE]) {
        let ordered = |a, b| [_mm256_min_pd(b, a), _mm256_max_pd(a, b)];
        some_lanes(block, turn, kept, (|lanes| of_4_numbers(lanes), |lanes| four_numbers(lanes), ordered));
    }
}

/// Sorts lanes, as many at a time as go into a register, and keeps every fourth row of each. Numbers go into registers, come back
/// and are put in order by the functions given.
#[inline(always)]
fn some_lanes<R: Copy, const TOGETHER: usize>(
    block: &[f64; BLOCK],
    turn: usize,
    kept: &mut [f64; BLOCK / STRIDE],
    (of, back, ordered): (
        impl Fn(&[f64; TOGETHER]) -> R,
        impl Fn(&R) -> [f64; TOGETHER],
        impl Fn(R, R) -> [R; 2] + Copy,
    ),
) {
    let here = |row: usize, first: usize| row * LANES + first..row * LANES + first + TOGETHER;
    for first in (0..LANES).step_by(TOGETHER) {
        let part = |row| block[here(row, first)].try_into().expect("our bug: lanes are cut evenly");
        let mut rows = [of(part(0)); ROWS];
        (0..ROWS).for_each(|row| rows[row] = of(part(row)));
        sort(&mut rows, ordered);
        for (four, rows) in rows.as_chunks::<STRIDE>().0.iter().enumerate() {
            let rows = rows.each_ref().map(&back);
            for (lane, kept) in kept[here(four, first)].iter_mut().enumerate() {
                *kept = rows[(turn + first + lane) % STRIDE][lane];
            }
        }
    }
}

/// Compares and exchanges rows of a group in this order.
macro_rules! exchange {
    ($rows:ident by $ordered:ident: $($upper:literal-$lower:literal)*) => {
        $([$rows[$upper], $rows[$lower]] = $ordered($rows[$upper], $rows[$lower]);)*
    };
}

#[inline(always)]
fn sort<R: Copy>(rows: &mut [R; ROWS], ordered: impl Fn(R, R) -> [R; 2] + Copy) {
    for group in rows.as_chunks_mut().0 {
        *group = sorted(*group, ordered);
    }
    let mut sorted = GROUP;
    while sorted < ROWS {
        for pair in rows.chunks_exact_mut(2 * sorted) {
            let (upper, lower) = pair.split_at_mut(sorted);
            upper.iter_mut().zip(lower.iter_mut().rev()).for_each(|(a, b)| [*a, *b] = ordered(*a, *b));
            let mut apart = sorted / 2;
            while apart >= GROUP {
                for part in pair.chunks_exact_mut(2 * apart) {
                    let (upper, lower) = part.split_at_mut(apart);
                    upper.iter_mut().zip(lower).for_each(|(a, b)| [*a, *b] = ordered(*a, *b));
                }
                apart /= 2;
            }
            for group in pair.as_chunks_mut().0 {
                *group = merged(*group, ordered);
            }
        }
        sorted *= 2;
    }
}

/// Sixteen rows, sorted (M. W. Green's network of 60 compare-exchanges).
#[inline(always)]
#[rustfmt::skip]
fn sorted<R: Copy>(mut rows: [R; GROUP], ordered: impl Fn(R, R) -> [R; 2]) -> [R; GROUP] {
    exchange!(rows by ordered:
        0-1 2-3 4-5 6-7 8-9 10-11 12-13 14-15
        0-2 1-3 4-6 5-7 8-10 9-11 12-14 13-15
        1-2 5-6 9-10 13-14
        0-4 1-5 2-6 3-7 8-12 9-13 10-14 11-15
        2-4 3-5 10-12 11-13
        1-2 3-4 5-6 9-10 11-12 13-14
        0-8 1-9 2-10 3-11 4-12 5-13 6-14 7-15
        4-8 5-9 6-10 7-11
        2-4 3-5 6-8 7-9 10-12 11-13
        1-2 3-4 5-6 7-8 9-10 11-12 13-14);
    rows
}

/// Sixteen rows that first rise and then fall, or the other way, sorted.
#[inline(always)]
#[rustfmt::skip]
fn merged<R: Copy>(mut rows: [R; GROUP], ordered: impl Fn(R, R) -> [R; 2]) -> [R; GROUP] {
    exchange!(rows by ordered:
        0-8 1-9 2-10 3-11 4-12 5-13 6-14 7-15
        0-4 1-5 2-6 3-7 8-12 9-13 10-14 11-15
        0-2 1-3 4-6 5-7 8-10 9-11 12-14 13-15
        0-1 2-3 4-5 6-7 8-9 10-11 12-13 14-15);
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instructions::tests::of_older;

    fn bits(block: &[f64; BLOCK], turn: usize) -> Vec<u64> {
        let mut above = vec![7.0];
        quarter(block, turn, &mut above);
        above.into_iter().map(f64::to_bits).collect()
    }

    fn block_of(numbers: &[f64]) -> [f64; BLOCK] {
        std::array::from_fn(|place| numbers[place % numbers.len()])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_lane_gives_every_fourth_of_its_numbers_on_every_processor(
            numbers in prop::collection::vec(prop_oneof![-9e9..9e9_f64, (-3_i32..3).prop_map(f64::from)], 1_900..=BLOCK), turn in 0..STRIDE,
        ) {
            let block = block_of(&numbers);
            let quartered = bits(&block, turn);
            prop_assert_eq!(quartered[0], 7.0_f64.to_bits());
            for lane in 0..LANES {
                let mut sorted: Vec<f64> = block.iter().skip(lane).step_by(LANES).copied().collect();
                sorted.sort_by(f64::total_cmp);
                let kept = sorted.iter().skip((lane + turn) % STRIDE).step_by(STRIDE);
                let found = quartered[1..].iter().skip(lane).step_by(LANES).map(|bits| f64::from_bits(*bits));
                prop_assert!(found.eq(kept.copied()));
            }
            prop_assert!(of_older(|| bits(&block, turn)).iter().all(|older| *older == quartered));
        }

        #[test]
        fn zeros_and_ones_are_sorted(ones in prop::collection::vec(any::<bool>(), ROWS)) {
            // A network that sorts these sorts anything.
            let mut rows = std::array::from_fn(|row| ones[row]);
            sort(&mut rows, |a, b| [a & b, a | b]);
            prop_assert!(rows.is_sorted());
            prop_assert_eq!(rows.iter().filter(|one| **one).count(), ones.iter().filter(|one| **one).count());
        }

        #[test]
        fn zeros_of_either_sign_are_all_kept(signs in prop::collection::vec(any::<bool>(), 500..BLOCK)) {
            let zeros: Vec<f64> = signs.iter().map(|&negative| if negative { -0.0 } else { 0.0 }).collect();
            let block = block_of(&zeros);
            let negative = |bits: &[u64]| bits[1..].iter().filter(|bits| **bits != 0).count();
            let all: usize = (0..STRIDE).map(|turn| negative(&bits(&block, turn))).sum();
            prop_assert_eq!(all, block.iter().filter(|zero| zero.is_sign_negative()).count());
            prop_assert!(of_older(|| bits(&block, 1)).iter().all(|older| *older == bits(&block, 1)));
        }
    }
}
