//! One look at each byte of a line: where it ends, whether anything is in it that must not be, and where its texts may end.
//!
//! Invariant: all processors see the same. Refuses to: tell which quote ends what.

use crate::instructions::vectorised;
#[cfg(target_arch = "x86_64")]
use crate::instructions::{Instructions, instructions};

/// Bytes that are looked at together, a bit of a word for each.
const BLOCK: usize = u64::BITS as usize;

/// Where the quotes and backslashes of a line are.
#[derive(Debug, Default)]
pub(super) struct Marks {
    words: Vec<u64>,
    /// How many words are of this line; none where bytes have to be searched for themselves.
    blocks: Option<usize>,
}

/// What was seen of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Bytes before its end.
    pub(super) length: usize,
    /// Whether there are such characters as JSON wants escaped inside of strings.
    pub(super) has_control: bool,
    /// Whether all of it is ASCII; it may be where this is false.
    pub(super) is_ascii: bool,
}

/// Bits of a block.
struct Block {
    marks: u64,
    controls: u64,
    others: u64,
}

impl Marks {
    /// Looks at the line that these bytes begin with.
    #[inline]
    pub(super) fn look(&mut self, bytes: &[u8]) -> Seen {
        #[cfg(target_arch = "x86_64")]
        match instructions() {
            Instructions::Newest => {
                #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
                return unsafe { newest(self, bytes) };
            }
            Instructions::Newer => {
                #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
                return unsafe { newer(self, bytes) };
            }
            Instructions::Common => {}
        }
        self.blocks = None;
        let length = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let (has_control, is_ascii) = seen_in(&bytes[..length]);
        Seen { length, has_control, is_ascii }
    }

    /// The first quote or backslash from `at` on in the line that was looked at last.
    #[inline(always)]
    pub(super) fn next(&self, line: &[u8], at: usize) -> Option<usize> {
        let Some(blocks) = self.blocks else {
            return memchr::memchr2(b'"', b'\\', line.get(at..)?).map(|place| at + place);
        };
        let mut block = at / BLOCK;
        let mut word = self.words[..blocks].get(block)? & (u64::MAX << (at % BLOCK));
        while word == 0 {
            block += 1;
            word = *self.words[..blocks].get(block)?;
        }
        let place = block * BLOCK + word.trailing_zeros() as usize;
        (place < line.len()).then_some(place)
    }

    #[inline(always)]
    fn look_with(&mut self, bytes: &[u8], look: impl Fn(&[u8; BLOCK]) -> Block) -> Seen {
        let (mut blocks, mut others) = (0, 0);
        loop {
            let begin = blocks * BLOCK;
            let block = match bytes.get(begin..begin + BLOCK) {
                Some(block) => look(block.try_into().expect("our bug: a block has its size")),
                None => {
                    // Zeros behind the end, of which the first ends the line.
                    let mut block = [0; BLOCK];
                    block[..bytes.len() - begin].copy_from_slice(&bytes[begin..]);
                    look(&block)
                }
            };
            match self.words.get_mut(blocks) {
                Some(word) => *word = block.marks,
                None => self.words.push(block.marks),
            }
            blocks += 1;
            if block.controls != 0 {
                self.blocks = Some(blocks);
                let place = block.controls.trailing_zeros() as usize;
                let before = block.others & !(u64::MAX << place);
                let length = begin + place;
                let has_control = bytes.get(length).is_some_and(|&byte| byte != b'\n');
                if has_control {
                    let rest = &bytes[length..];
                    let length = length + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                    return Seen { length, has_control, is_ascii: false };
                }
                return Seen { length, has_control, is_ascii: others | before == 0 };
            }
            others |= block.others;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn newest(marks: &mut Marks, bytes: &[u8]) -> Seen {
    use std::arch::x86_64::*;
    marks.look_with(bytes, |block| {
        let block = crate::instructions::vectors::of_64(block);
        let quotes = _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(b'"' as i8));
        let backslashes = _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(b'\\' as i8));
        Block {
            marks: quotes | backslashes,
            controls: _mm512_cmplt_epu8_mask(block, _mm512_set1_epi8(b' ' as i8)),
            others: _mm512_movepi8_mask(block),
        }
    })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn newer(marks: &mut Marks, bytes: &[u8]) -> Seen {
    use std::arch::x86_64::*;
    marks.look_with(bytes, |block| {
        let halves = crate::instructions::vectors::of_twice_32(block).map(|half| {
            // Either of them differs from itself by nothing. Two comparisons and their union would be the same, but are compiled
            // to code that looks at bytes one by one.
            let quotes = _mm256_xor_si256(half, _mm256_set1_epi8(b'"' as i8));
            let backslashes = _mm256_xor_si256(half, _mm256_set1_epi8(b'\\' as i8));
            let marks = _mm256_cmpeq_epi8(_mm256_min_epu8(quotes, backslashes), _mm256_setzero_si256());
            let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(half, _mm256_set1_epi8(0x1F)), half);
            [marks, controls, half].map(|bytes| _mm256_movemask_epi8(bytes) as u32)
        });
        let [marks, controls, others] =
            std::array::from_fn(|which| u64::from(halves[0][which]) | u64::from(halves[1][which]) << 32);
        Block { marks, controls, others }
    })
}

vectorised! {
    /// Whether there are control characters, and whether all is ASCII.
    fn seen_in(line: &[u8]) -> (bool, bool) {
        let look = |seen: (bool, u8), bytes: &[u8]| {
            bytes.iter().fold(seen, |(control, all), &byte| (control | (byte < 0x20), all | byte))
        };
        let chunks = line.chunks_exact(2 * BLOCK);
        let rest = look((false, 0), chunks.remainder());
        let (has_control, all) = chunks.fold(rest, look);
        (has_control, all < 0x80)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instructions::tests::of_older;

    /// What is seen of the line that bytes begin with, and where its quotes and backslashes are.
    fn seen(bytes: &[u8]) -> (Seen, Vec<usize>) {
        let mut marks = Marks::default();
        // Of a line before nothing may be left.
        marks.look(&[b'"'; 300]);
        let mut seen = marks.look(bytes);
        let line = &bytes[..seen.length];
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(place) = marks.next(line, at).filter(|_| !seen.has_control) {
            places.push(place);
            at = place + 1;
        }
        seen.is_ascii &= !seen.has_control;
        (seen, places)
    }

    fn expected(bytes: &[u8]) -> (Seen, Vec<usize>) {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
        let has_control = line.iter().any(|byte| *byte < b' ');
        let places = (0..line.len()).filter(|&place| matches!(line[place], b'"' | b'\\') && !has_control);
        let is_ascii = !has_control && line.is_ascii();
        (Seen { length: line.len(), has_control, is_ascii }, places.collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_processor_sees_what_is_there(
            mut bytes in prop::collection::vec(prop_oneof![20 => 0x20_u8..0x7F, 2 => Just(b'"'), 1 => Just(b'\\')], 0..400),
            odd in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            end in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let length = bytes.len();
            if length > 0 {
                odd.iter().for_each(|(place, byte)| bytes[place.index(length)] = *byte);
                end.iter().for_each(|place| bytes[place.index(length)] = b'\n');
            }
            let expected = expected(&bytes);
            prop_assert_eq!(&seen(&bytes), &expected);
            for older in of_older(|| seen(&bytes)) {
                prop_assert_eq!(&older, &expected);
            }
        }
    }
}
