//! The cells of a line of numbers, eight at a time with AVX-512.
//!
//! As [`vector`](super::vector) reads a cell from the sixteen bytes before its end, here those of four cells stand side by side
//! in a register, and two registers come together where sixteen digits have become one number. What is known of a cell as a
//! whole is a number of 64 bits, its lane.
//!
//! Invariant: a cell that is read here is read as [`number`](super::number) reads it, and any other is left to who reads cells
//! one by one.

use std::arch::x86_64::*;

use super::{Line, careful, vector};
use crate::dataset::cell::FAST_DIGITS;
use crate::instructions::vectors::{numbers, of_8_numbers, of_8_words, of_16, of_64, words};

/// Bytes of a cell that are looked at.
const WINDOW: usize = 16;
/// Bytes among which commas are looked for together.
const BLOCK: usize = 64;
/// Commas that are noted together.
const NOTED: usize = 16;
/// Cells that are read together.
const CELLS: usize = 8;

/// For each byte of a block, and of four windows.
type Bytes = [u8; BLOCK];

/// The place of each byte in its block.
const PLACES: Bytes = {
    let mut bytes = [0; BLOCK];
    let mut place = 0;
    while place < BLOCK {
        bytes[place] = place as u8;
        place += 1;
    }
    bytes
};
/// By the place of a byte in its window, how long a cell is that begins there.
const LENGTHS: Bytes = of_windows(0);
/// By the place of a byte in its window, what stands for a dot there, none being zero: behind all places, so that the sum of
/// two of them is none of one. The last four bits tell how many places are below the dot, by [`POWERS`].
const DOTS: Bytes = of_windows(1);
/// By the place of a byte in its window: less than the dot's number where the dot is here or behind.
const BEFORE_DOTS: Bytes = of_windows(2);

const fn of_windows(what: u8) -> Bytes {
    let mut bytes = [0; BLOCK];
    let mut place = 0;
    while place < BLOCK {
        let here = (place % WINDOW) as u8;
        bytes[place] = match what {
            0 => WINDOW as u8 - here,
            1 => WINDOW as u8 + 1 + here,
            _ => WINDOW as u8 + here,
        };
        place += 1;
    }
    bytes
}

/// By the last four bits of a dot's number: ten to the power of the places below it.
const POWERS: [[f64; CELLS]; 2] = {
    let mut powers = [[1.0; CELLS]; 2];
    let (mut place, mut power) = (WINDOW - 1, 10.0);
    while place > 0 {
        powers[place / CELLS][place % CELLS] = power;
        power *= 10.0;
        place -= 1;
    }
    powers
};

/// What [`POWERS`] are divided by, each rounded once.
const RECIPROCALS: [[f64; CELLS]; 2] = {
    let mut reciprocals = POWERS;
    let mut place = 0;
    while place < WINDOW {
        reciprocals[place / CELLS][place % CELLS] = 1.0 / POWERS[place / CELLS][place % CELLS];
        place += 1;
    }
    reciprocals
};

/// See [`read`](super::read).
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn read(line: Line<'_>, bounds: &mut Vec<u32>, (row, whole): (&mut [f64], &mut [u8])) -> Option<usize> {
    let Line { bytes, start, end } = line;
    let count = note_bounds(bytes, (start, end), bounds);
    let (row, whole) = (row.get_mut(..count)?, whole.get_mut(..count)?);
    let cells = Cells { bytes, start, bounds };
    if count < CELLS {
        for place in 0..count {
            (row[place], whole[place]) = cells.one(place)?;
        }
        return Some(count);
    }
    let mut first = 0;
    loop {
        let (row, whole) = (&mut row[first..first + CELLS], &mut whole[first..first + CELLS]);
        let mut left = match cells.windows(first) {
            Some(windows) => eight(windows, cells.lengths(first), row, whole),
            None => u8::MAX,
        };
        while left != 0 {
            let lane = left.trailing_zeros() as usize;
            (row[lane], whole[lane]) = cells.one(first + lane)?;
            left &= left.wrapping_sub(1);
        }
        if first + CELLS == count {
            return Some(count);
        }
        // The last eight may be among those before them.
        first = (first + CELLS).min(count - CELLS);
    }
}

/// Where cells are.
struct Cells<'b> {
    bytes: &'b [u8],
    start: usize,
    /// Where the comma before each cell is, counted from `start`, and where the last one ends.
    bounds: &'b [u32],
}

impl Cells<'_> {
    /// Lengths of eight cells.
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    fn lengths(&self, first: usize) -> __m512i {
        let eight = |from: usize| {
            let words = self.bounds[from..from + CELLS].try_into();
            of_8_words(words.expect("our bug: there are eight"))
        };
        let (before, ends) = (eight(first), eight(first + 1));
        _mm512_cvtepu32_epi64(_mm256_sub_epi32(ends, _mm256_add_epi32(before, _mm256_set1_epi32(1))))
    }

    /// The bytes before the ends of eight cells: of the first, third, … and of the second, fourth, ….
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    fn windows(&self, first: usize) -> Option<[__m512i; 2]> {
        let ends: &[u32; CELLS] = self.bounds.get(first + 1..first + 1 + CELLS)?.try_into().ok()?;
        let window = |lane: usize| {
            let end = self.start.wrapping_add(ends[lane] as usize);
            let window: &[u8; WINDOW] = self.bytes.get(end.wrapping_sub(WINDOW)..end)?.try_into().ok()?;
            Some(of_16(window))
        };
        let four = |lane: usize| {
            let all = _mm512_castsi128_si512(window(lane)?);
            let all = _mm512_inserti32x4::<1>(all, window(lane + 2)?);
            let all = _mm512_inserti32x4::<2>(all, window(lane + 4)?);
            Some(_mm512_inserti32x4::<3>(all, window(lane + 6)?))
        };
        Some([four(0)?, four(1)?])
    }

    /// A cell of any form but text.
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    fn one(&self, place: usize) -> Option<(f64, u8)> {
        let begin = self.start.wrapping_add(self.bounds[place].wrapping_add(1) as usize);
        let end = self.start + self.bounds[place + 1] as usize;
        vector::cell(self.bytes, begin, end).or_else(|| careful(&self.bytes[begin..end]))
    }
}

/// Notes where cells are bounded, counted from `start`; answers how many there are.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn note_bounds(bytes: &[u8], (start, end): (usize, usize), bounds: &mut Vec<u32>) -> usize {
    let mut count = 0;
    let mut at = start;
    while at < end {
        let block = match bytes.get(at..at + BLOCK) {
            Some(block) => of_64(block.try_into().expect("our bug: a block has its size")),
            None => {
                let mut block = [0; BLOCK];
                block[..bytes.len() - at].copy_from_slice(&bytes[at..]);
                of_64(&block)
            }
        };
        let mut commas = _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(b',' as i8));
        if end - at < BLOCK {
            commas &= (1 << (end - at)) - 1;
        }
        if bounds.len() < count + BLOCK + 2 {
            bounds.resize(2 * count + BLOCK + 2, 0);
        }
        let mut places = _mm512_maskz_compress_epi8(commas, of_64(&PLACES));
        let base = _mm512_set1_epi32((at - start) as i32);
        let here = commas.count_ones() as usize;
        let mut noted = 0;
        while noted < here {
            let sixteen = _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(places)));
            let place = count + 1 + noted;
            bounds[place..place + NOTED].copy_from_slice(&words(&sixteen));
            places = _mm512_alignr_epi32::<{ NOTED as i32 / 4 }>(places, places);
            noted += NOTED;
        }
        count += here;
        at += BLOCK;
    }
    if bounds.len() < count + 2 {
        bounds.resize(count + 2, 0);
    }
    (bounds[0], bounds[count + 1]) = (u32::MAX, (end - start) as u32);
    count + 1
}

/// Reads eight cells; answers in bits which of them are left to be read alone.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn eight(windows: [__m512i; 2], lengths: __m512i, row: &mut [f64], whole: &mut [u8]) -> u8 {
    let (zero, one) = (_mm512_setzero_si512(), _mm512_set1_epi64(1));
    // The lanes of a register of windows are every second one of those of lengths.
    let others = _mm512_set1_epi8(CELLS as i8);
    let first = Digits::of(windows[0], _mm512_shuffle_epi8(lengths, zero));
    let second = Digits::of(windows[1], _mm512_shuffle_epi8(lengths, others));
    let [low, high] = lanes(_mm512_sad_epu8(first.dots, zero), _mm512_sad_epu8(second.dots, zero));
    let dots = _mm512_add_epi64(low, high);
    let [low, high] = lanes(first.marks, second.marks);
    let marks = _mm512_or_si512(low, high);
    let negative = _mm512_test_epi64_mask(marks, _mm512_set1_epi8(MINUS));
    let has_dot = _mm512_test_epi64_mask(dots, dots);
    let digit_counts = _mm512_mask_sub_epi64(lengths, negative, lengths, one);
    let digit_counts = _mm512_mask_sub_epi64(digit_counts, has_dot, digit_counts, one);
    let is_missing = _mm512_testn_epi64_mask(lengths, lengths);
    let is_read = _mm512_testn_epi64_mask(marks, _mm512_set1_epi8(ODD))
        & _mm512_cmple_epu64_mask(lengths, _mm512_set1_epi64(WINDOW as i64))
        & _mm512_cmple_epu64_mask(dots, _mm512_set1_epi64(2 * WINDOW as i64))
        & _mm512_cmplt_epu64_mask(_mm512_sub_epi64(digit_counts, one), _mm512_set1_epi64(FAST_DIGITS as i64));

    let fours = _mm512_packus_epi32(
        first.fours(_mm512_shuffle_epi8(dots, zero)),
        second.fours(_mm512_shuffle_epi8(dots, others)),
    );
    let eights = _mm512_madd_epi16(fours, _mm512_set1_epi32(0x0001_2710));
    let highs = _mm512_mul_epu32(eights, _mm512_set1_epi64(100_000_000));
    let all = _mm512_cvtepi64_pd(_mm512_add_epi64(highs, _mm512_srli_epi64::<32>(eights)));
    let values = divided(all, dots);
    let values = _mm512_mask_xor_pd(values, negative, values, _mm512_set1_pd(-0.0));
    let values = _mm512_mask_mov_pd(values, is_missing, _mm512_set1_pd(f64::NAN));
    row.copy_from_slice(&numbers(&values));
    let wholes = _mm_maskz_set1_epi8(u16::from(!(has_dot | is_missing)), 1);
    whole.copy_from_slice(&(_mm_cvtsi128_si64(wholes) as u64).to_le_bytes());
    !(is_read | is_missing)
}

/// Whole numbers divided by the power of ten that their dot's number stands for.
///
/// A division takes as long as all the rest. Where the reciprocal is the nearest double, a quotient to which its remainder is given
/// is the nearest one too, if it was one of the two nearest before, which the first step sees to (P. Markstein, Computation of
/// elementary functions on the IBM RISC System/6000 processor, 1990).
#[target_feature(enable = "avx512f")]
#[inline]
fn divided(numbers: __m512d, dots: __m512i) -> __m512d {
    let powers = _mm512_permutex2var_pd(of_8_numbers(&POWERS[0]), dots, of_8_numbers(&POWERS[1]));
    let reciprocals = _mm512_permutex2var_pd(of_8_numbers(&RECIPROCALS[0]), dots, of_8_numbers(&RECIPROCALS[1]));
    let mut quotients = _mm512_mul_pd(numbers, reciprocals);
    for _ in 0..2 {
        let remainders = _mm512_fnmadd_pd(quotients, powers, numbers);
        quotients = _mm512_fmadd_pd(remainders, reciprocals, quotients);
    }
    quotients
}

/// Bits of [`Digits::marks`].
const MINUS: i8 = 1;
const ODD: i8 = 2;

/// The bytes of four cells.
struct Digits {
    /// Their values; zero for anything else.
    values: __m512i,
    /// [`DOTS`].
    dots: __m512i,
    /// A sign in front, and what does not belong to a plain number.
    marks: __m512i,
}

impl Digits {
    /// `lengths` are those of the cells, at each of their bytes.
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    fn of(windows: __m512i, lengths: __m512i) -> Self {
        let kept = _mm512_cmple_epu8_mask(of_64(&LENGTHS), lengths);
        let begin = _mm512_cmpeq_epi8_mask(of_64(&LENGTHS), lengths);
        let values = _mm512_sub_epi8(windows, _mm512_set1_epi8(b'0' as i8));
        let digits = _mm512_mask_cmple_epu8_mask(kept, values, _mm512_set1_epi8(9));
        let dots = _mm512_mask_cmpeq_epi8_mask(kept, windows, _mm512_set1_epi8(b'.' as i8));
        let minus = _mm512_mask_cmpeq_epi8_mask(begin, windows, _mm512_set1_epi8(b'-' as i8));
        let marks = _mm512_maskz_set1_epi8(minus, MINUS);
        Self {
            values: _mm512_maskz_mov_epi8(digits, values),
            dots: _mm512_maskz_mov_epi8(dots, of_64(&DOTS)),
            marks: _mm512_mask_set1_epi8(marks, kept ^ (digits | dots | minus), ODD),
        }
    }

    /// Every four digits as one number, the dot left out; `dots` are those of the cells, at each of their bytes.
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    fn fours(&self, dots: __m512i) -> __m512i {
        let moves = _mm512_cmplt_epu8_mask(of_64(&BEFORE_DOTS), dots);
        let values = _mm512_mask_mov_epi8(self.values, moves, _mm512_bslli_epi128::<1>(self.values));
        let pairs = _mm512_maddubs_epi16(values, _mm512_set1_epi16(0x010A));
        _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x0001_0064))
    }
}

/// The first and the second halves of windows, in the lanes of their cells.
#[target_feature(enable = "avx512f")]
#[inline]
fn lanes(first: __m512i, second: __m512i) -> [__m512i; 2] {
    [_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instructions::{Instructions, instructions};

    #[test]
    fn quotients_are_those_of_a_division() {
        if instructions() != Instructions::Newest {
            return;
        }
        let mut dice = crate::dice::Dice::seeded(7);
        let most = 10_f64.powi(FAST_DIGITS as i32) - 1.0;
        for round in 0..50_000_u32 {
            // As many numbers of few digits as of many.
            let scale = 10_f64.powi((round % FAST_DIGITS as u32) as i32);
            let whole: [f64; CELLS] = std::array::from_fn(|_| (dice.unit() * most / scale).floor());
            for places in 0..WINDOW {
                // The bits of a dot behind which there are so many places, none being zero.
                let dot = if places == 0 { 0 } else { WINDOW - places };
                #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
                let found = unsafe { numbers(&divided(of_8_numbers(&whole), _mm512_set1_epi64(dot as i64))) };
                let power = POWERS[dot / CELLS][dot % CELLS];
                assert!(places == 0 || power == 10_f64.powi(places as i32));
                assert_eq!(found, whole.map(|whole| whole / power), "{whole:?} / {power}");
            }
        }
    }
}
