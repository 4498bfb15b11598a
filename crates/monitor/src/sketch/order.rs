//! Sorting the few thousand numbers of a sketch's levels, which is where sketching spends its time.
//!
//! Two passes over ten bits each put numbers where their leading bits belong; what shares all 20 is put in order by
//! insertion, and where too much does, by comparison. Higher levels are runs that are merged. Invariant: the order is that of [`f64::total_cmp`].

use std::cell::Cell;
use std::hint::select_unpredictable;

use crate::instructions::vectorised;

/// Fewer numbers are sorted by comparison.
const FEW: usize = 128;
const DIGIT_BITS: u32 = 10;
const DIGITS: usize = 1 << DIGIT_BITS;
const SIGN: u64 = 1 << 63;
/// Steps of insertion for each number before comparison takes over.
const MAX_STEPS: usize = 8;
/// Keys in the room that a thread keeps at the most: 256 KiB.
const MAX_ROOM: usize = 32 << 10;
/// Numbers of a run at the least, in the middle; of shorter ones there are too many to merge.
const RUN: usize = 32;

/// Sorts as [`f64::total_cmp`] does.
pub(super) fn sort(values: &mut [f64]) {
    if values.len() < FEW {
        return values.sort_unstable_by(f64::total_cmp);
    }
    with_room(values.len(), |keys, room| {
        let (least, most) = keys_of(values, keys);
        sort_keys(keys, room, least, most - least);
        numbers_of(keys, values);
    });
}

/// Room for twice as many keys, which a thread uses again.
fn with_room(length: usize, run: impl FnOnce(&mut [u64], &mut [u64])) {
    thread_local! {
        static ROOM: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
    }
    let mut room = ROOM.take();
    if room.len() < 2 * length {
        room.resize(2 * length, 0);
    }
    let (keys, others) = room[..2 * length].split_at_mut(length);
    run(keys, others);
    if room.len() <= MAX_ROOM {
        ROOM.set(room);
    }
}

/// The same, of numbers most of which are in order: one run behind the other.
pub(super) fn sort_runs(values: &mut [f64]) {
    if values.len() < FEW {
        return values.sort_unstable_by(f64::total_cmp);
    }
    with_room(values.len(), |keys, room| sort_runs_in(values, keys, room));
}

fn sort_runs_in<'r>(values: &mut [f64], mut keys: &'r mut [u64], mut room: &'r mut [u64]) {
    let (least, most) = keys_of(values, keys);
    let mut ends = Vec::new();
    for (begin, part) in (0..).step_by(RUN).zip(keys.chunks(RUN)) {
        let before = if begin == 0 { part[0] } else { keys[begin - 1] };
        if part[0] < before || falls(part) {
            ends.extend((begin.max(1)..begin + part.len()).filter(|&next| keys[next] < keys[next - 1]));
        }
    }
    ends.push(keys.len());
    if ends.len() > values.len() / RUN {
        sort_keys(keys, room, least, most - least);
        ends.clear();
    }
    while ends.len() > 1 {
        let mut begin = 0;
        let mut merged = Vec::with_capacity(ends.len().div_ceil(2));
        for pair in ends.chunks(2) {
            let (middle, end) = (pair[0], pair[pair.len() - 1]);
            merge(&keys[begin..middle], &keys[middle..end], &mut room[begin..end]);
            merged.push(end);
            begin = end;
        }
        std::mem::swap(&mut keys, &mut room);
        ends = merged;
    }
    numbers_of(keys, values);
}

vectorised! {
    /// Whether a key is less than the one before it.
    fn falls(keys: &[u64]) -> bool {
        keys.iter().zip(&keys[1..]).fold(false, |falls, (before, next)| falls | (next < before))
    }
}

/// Merges two runs from both ends, without a branch for what nobody can foretell.
fn merge(mut left: &[u64], mut right: &[u64], mut to: &mut [u64]) {
    // One number that was left behind is all that many a run is merged with.
    let begin = left.first().map_or(0, |first| right.partition_point(|key| key < first));
    to[..begin].copy_from_slice(&right[..begin]);
    (right, to) = (&right[begin..], &mut to[begin..]);
    loop {
        // So many steps from each end take at most all of the shorter run.
        let steps = left.len().min(right.len()) / 2;
        if steps == 0 {
            break;
        }
        let (mut a, mut b, mut c, mut d) = (0, 0, left.len() - 1, right.len() - 1);
        let last = to.len() - 1;
        for step in 0..steps {
            let is_right = right[b] < left[a];
            to[step] = select_unpredictable(is_right, right[b], left[a]);
            a += usize::from(!is_right);
            b += usize::from(is_right);
            let is_right = right[d] >= left[c];
            to[last - step] = select_unpredictable(is_right, right[d], left[c]);
            c = c.wrapping_sub(usize::from(!is_right));
            d = d.wrapping_sub(usize::from(is_right));
        }
        (left, right) = (&left[a..c.wrapping_add(1)], &right[b..d.wrapping_add(1)]);
        to = &mut to[steps..=last - steps];
    }
    // One of them has one number at the most.
    while let ([a, ..], [b, ..], [place, ..]) = (left, right, &mut *to) {
        let is_right = b < a;
        *place = if is_right { *b } else { *a };
        left = &left[usize::from(!is_right)..];
        right = &right[usize::from(is_right)..];
        to = &mut to[1..];
    }
    let (from_left, from_right) = to.split_at_mut(left.len());
    from_left.copy_from_slice(left);
    from_right.copy_from_slice(right);
}

fn sort_keys(keys: &mut [u64], room: &mut [u64], least: u64, range: u64) {
    let shift = (u64::BITS - range.leading_zeros()).saturating_sub(2 * DIGIT_BITS);
    let low = |key: u64| (key.wrapping_sub(least) >> shift) as usize % DIGITS;
    let high = |key: u64| (key.wrapping_sub(least) >> shift >> DIGIT_BITS) as usize % DIGITS;
    let (mut lows, mut highs) = ([0_u32; DIGITS], [0_u32; DIGITS]);
    for &key in &*keys {
        lows[low(key)] = lows[low(key)].wrapping_add(1);
        highs[high(key)] = highs[high(key)].wrapping_add(1);
    }
    scatter(keys, room, &mut lows, low);
    scatter(room, keys, &mut highs, high);
    insert(keys);
}

/// Puts keys where their digits belong, those of one digit in the order in which they are.
fn scatter(from: &[u64], to: &mut [u64], counts: &mut [u32], digit: impl Fn(u64) -> usize) {
    let mut begin = 0;
    for count in counts.iter_mut() {
        begin += std::mem::replace(count, begin);
    }
    for &key in from {
        let place = &mut counts[digit(key)];
        to[*place as usize] = key;
        *place = place.wrapping_add(1);
    }
}

/// Finishes keys that are nearly in order.
fn insert(keys: &mut [u64]) {
    let mut steps = 0;
    for next in 1..keys.len() {
        let key = keys[next];
        let mut place = next;
        while place > 0 && keys[place - 1] > key {
            keys[place] = keys[place - 1];
            place -= 1;
        }
        keys[place] = key;
        steps += next - place;
        if steps > MAX_STEPS * keys.len() {
            return keys.sort_unstable();
        }
    }
}

vectorised! {
    /// Bits that are in the order of the numbers; answers the least and the largest.
    fn keys_of(values: &[f64], keys: &mut [u64]) -> (u64, u64) {
        let (mut least, mut most) = (u64::MAX, 0);
        for (value, key) in values.iter().zip(keys) {
            let bits = value.to_bits();
            *key = bits ^ (((bits as i64 >> 63) as u64) | SIGN);
            least = least.min(*key);
            most = most.max(*key);
        }
        (least, most)
    }
}

vectorised! {
    fn numbers_of(keys: &[u64], values: &mut [f64]) {
        for (key, value) in keys.iter().zip(values) {
            *value = f64::from_bits(key ^ ((key >> 63).wrapping_sub(1) | SIGN));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorts(mut values: Vec<f64>) -> bool {
        let mut expected = values.clone();
        expected.sort_by(f64::total_cmp);
        let mut runs = values.clone();
        let length = runs.len() / 5 + 1;
        runs.chunks_mut(length).for_each(|run| run.sort_by(f64::total_cmp));
        for rest in [&mut runs, &mut values.clone()] {
            sort_runs(rest);
            assert!(rest.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        sort(&mut values);
        values.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits())
    }

    #[test]
    fn what_clusters_beside_outliers_is_sorted_too() {
        let close: Vec<f64> = (0..3000).map(|i| 1000.0 + f64::from(i * 7919 % 3000) * 1e-9).collect();
        let outlier = [-1e300, 0.0, -0.0].into_iter().chain(close.iter().copied()).collect();
        for values in [close, outlier, vec![4.0; 1000], (0..999).rev().map(|i| f64::from(i) / 100.0 - 5.0).collect()] {
            assert!(sorts(values));
        }
    }

    proptest! {
        #[test]
        fn numbers_are_in_the_order_of_comparison(
            any in prop::collection::vec(any::<f64>(), 0..600), near in prop::collection::vec(-3.0..9.0_f64, 100..600),
            whole in prop::collection::vec(-50_i32..50, 100..600),
        ) {
            prop_assert!(sorts(any));
            prop_assert!(sorts(near));
            prop_assert!(sorts(whole.into_iter().map(f64::from).collect()));
        }
    }
}
