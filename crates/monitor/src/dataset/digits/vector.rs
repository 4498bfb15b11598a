//! The cells of a line of numbers, sixteen bytes at a time.
//!
//! A cell is read from the sixteen bytes before its end, whatever its length: digits are checked, the dot is taken out and
//! digits are summed by pairs, without a branch that depends on where the dot is. Up to 15 digits are exact in a double and so
//! is the power of ten below them, so that the one division rounds as the general parser does.
//!
//! Invariant: a cell that is read here is read as [`number`](super::number) reads it, and any other is left to it.

use std::arch::x86_64::*;

use super::{Line, careful};
use crate::dataset::cell::FAST_DIGITS;
use crate::instructions::vectors::{of_16, of_twice_32};

/// Bytes of a cell, without its sign, that are looked at.
const WINDOW: usize = 16;
/// Bytes among which commas are looked for together.
const BLOCK: usize = 64;
/// Commas of a block that are noted together: seldom are there more.
const NOTED: usize = 8;

/// Behind zeros, so that sixteen bytes from `length` on keep the last `length` of a window.
const KEPT: [u8; 2 * WINDOW] = {
    let mut bytes = [0; 2 * WINDOW];
    let mut place = WINDOW;
    while place < bytes.len() {
        bytes[place] = u8::MAX;
        place += 1;
    }
    bytes
};
/// By the place of the dot, sixteen where there is none: the bytes that move up by one to close its gap.
const MOVED: [[u8; WINDOW]; WINDOW + 1] = {
    let mut masks = [[0; WINDOW]; WINDOW + 1];
    let mut dot = 0;
    while dot < WINDOW {
        let mut place = 0;
        while place <= dot {
            masks[dot][place] = u8::MAX;
            place += 1;
        }
        dot += 1;
    }
    masks
};
/// By the place of the dot: ten to the power of the places behind it.
const BELOW: [f64; WINDOW + 1] = {
    let mut powers = [1.0; WINDOW + 1];
    let mut dot = WINDOW - 1;
    while dot > 0 {
        powers[dot - 1] = powers[dot] * 10.0;
        dot -= 1;
    }
    powers
};

/// See [`read`](super::read).
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn read(line: Line<'_>, ends: &mut Vec<u32>, (row, whole): (&mut [f64], &mut [u8])) -> Option<usize> {
    let Line { bytes, start, end } = line;
    let count = note_ends(bytes, (start, end), ends);
    let (row, whole) = (row.get_mut(..count)?, whole.get_mut(..count)?);
    let mut begin = start;
    for ((&length, value), whole) in ends[..count].iter().zip(row).zip(whole) {
        let end = start.wrapping_add(length as usize);
        let read = match cell(bytes, begin, end) {
            Some(read) => read,
            None => careful(&bytes[begin..end])?,
        };
        (*value, *whole) = read;
        begin = end.wrapping_add(1);
    }
    Some(count)
}

/// Notes where cells end, counted from `start`; answers how many there are.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn note_ends(bytes: &[u8], (start, end): (usize, usize), ends: &mut Vec<u32>) -> usize {
    let mut count = 0;
    let mut at = start;
    while at < end {
        let mut commas = match bytes.get(at..at + BLOCK) {
            Some(block) => commas_of(block.try_into().expect("our bug: a block has its size")),
            None => {
                let mut block = [0; BLOCK];
                block[..bytes.len() - at].copy_from_slice(&bytes[at..]);
                commas_of(&block)
            }
        };
        if end - at < BLOCK {
            commas &= (1 << (end - at)) - 1;
        }
        if ends.len() < count + BLOCK {
            ends.resize(2 * count + BLOCK, 0);
        }
        let here = commas.count_ones() as usize;
        let base = (at - start) as u32;
        let mut noted = 0;
        while noted < here {
            for place in &mut ends[count + noted..count + noted + NOTED] {
                *place = base.wrapping_add(commas.trailing_zeros());
                commas &= commas.wrapping_sub(1);
            }
            noted += NOTED;
        }
        count += here;
        at += BLOCK;
    }
    if ends.len() <= count {
        ends.push(0);
    }
    ends[count] = (end - start) as u32;
    count + 1
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn commas_of(block: &[u8; BLOCK]) -> u64 {
    let comma = _mm256_set1_epi8(b',' as i8);
    let [low, high] = of_twice_32(block).map(|half| _mm256_movemask_epi8(_mm256_cmpeq_epi8(half, comma)) as u32);
    u64::from(low) | u64::from(high) << 32
}

/// The value of a plain number and whether it is a whole one.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) fn cell(bytes: &[u8], start: usize, end: usize) -> Option<(f64, u8)> {
    let negative = bytes.get(start) == Some(&b'-');
    let length = end.wrapping_sub(start).wrapping_sub(usize::from(negative));
    if length.wrapping_sub(1) >= WINDOW {
        return None;
    }
    let window: &[u8; WINDOW] = bytes.get(end.wrapping_sub(WINDOW)..end)?.try_into().ok()?;
    let kept = KEPT[length..length + WINDOW].try_into().expect("our bug: a window has its size");
    let values = _mm_and_si128(_mm_xor_si128(of_16(window), _mm_set1_epi8(b'0' as i8)), of_16(kept));
    let digits = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values)) as u32;
    let dots = _mm_movemask_epi8(_mm_cmpeq_epi8(values, _mm_set1_epi8((b'.' ^ b'0') as i8))) as u32;
    let digit_count = (length as u32).wrapping_sub(u32::from(dots != 0));
    let is_plain = digits | dots == 0xFFFF && dots & dots.wrapping_sub(1) == 0;
    if !is_plain || digit_count.wrapping_sub(1) >= FAST_DIGITS as u32 {
        return None;
    }
    let dot = (dots | 1 << WINDOW).trailing_zeros() as usize;
    let values = _mm_blendv_epi8(values, _mm_slli_si128::<1>(values), of_16(&MOVED[dot]));
    let pairs = _mm_maddubs_epi16(values, _mm_set1_epi16(0x010A));
    let fours = _mm_madd_epi16(pairs, _mm_set1_epi32(0x0001_0064));
    let eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), _mm_set1_epi32(0x0001_2710));
    let eights = _mm_cvtsi128_si64(eights) as u64;
    let all = (eights & 0xFFFF_FFFF).wrapping_mul(100_000_000).wrapping_add(eights >> 32);
    let value = all as i64 as f64 / BELOW[dot];
    let sign = u64::from(negative) << 63;
    Some((f64::from_bits(value.to_bits() | sign), u8::from(dots == 0)))
}
