//! Sorting the few thousand numbers of a sketch's lowest level, which is where sketching spends its time.
//!
//! Two passes over eleven bits each put numbers where their leading bits belong; what shares all 22 is put in order by
//! insertion, and where too much does, by comparison. Invariant: the order is that of [`f64::total_cmp`].

/// Fewer numbers are sorted by comparison.
const FEW: usize = 128;
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
const SIGN: u64 = 1 << 63;
/// Steps of insertion for each number before comparison takes over.
const MAX_STEPS: usize = 8;

/// Sorts as [`f64::total_cmp`] does.
pub(super) fn sort(values: &mut [f64]) {
    if values.len() < FEW {
        return values.sort_unstable_by(f64::total_cmp);
    }
    let mut keys: Vec<u64> = values.iter().map(|value| key(*value)).collect();
    let least = keys.iter().copied().min().expect("our bug: there are keys");
    let range = keys.iter().copied().max().expect("our bug: there are keys") - least;
    let shift = (u64::BITS - range.leading_zeros()).saturating_sub(2 * DIGIT_BITS);
    let low = |key: u64| ((key - least) >> shift) as usize % DIGITS;
    let high = |key: u64| ((key - least) >> shift >> DIGIT_BITS) as usize % DIGITS;
    let (mut lows, mut highs) = (vec![0_u32; DIGITS], vec![0_u32; DIGITS]);
    for &key in &keys {
        lows[low(key)] = lows[low(key)].wrapping_add(1);
        highs[high(key)] = highs[high(key)].wrapping_add(1);
    }
    let mut room = vec![0; keys.len()];
    scatter(&keys, &mut room, &mut lows, low);
    scatter(&room, &mut keys, &mut highs, high);
    insert(&mut keys);
    for (value, key) in values.iter_mut().zip(&keys) {
        *value = number(*key);
    }
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

/// Bits that are in the order of the numbers.
fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    bits ^ (((bits as i64 >> 63) as u64) | SIGN)
}

fn number(key: u64) -> f64 {
    f64::from_bits(key ^ ((key >> 63).wrapping_sub(1) | SIGN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorts(mut values: Vec<f64>) -> bool {
        let mut expected = values.clone();
        expected.sort_by(f64::total_cmp);
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
