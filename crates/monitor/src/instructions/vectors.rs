//! Bytes and numbers as vectors of them, and back.
//!
//! Invariant: bits stay as they are. Refuses to: be called where the processor has not the registers.

use std::arch::x86_64::*;

macro_rules! reinterpreted {
    ($($(#[$about:meta])* $name:ident: $from:ty => $to:ty, $feature:literal;)*) => {$(
        $(#[$about])*
        #[target_feature(enable = $feature)]
        #[inline]
        pub(crate) fn $name(from: &$from) -> $to {
            #[expect(unsafe_code, reason = "any bits are numbers and vectors of them; put together otherwise they move twice")]
            unsafe {
                std::mem::transmute::<$from, $to>(*from)
            }
        }
    )*};
}

reinterpreted! {
    /// Sixteen bytes.
    of_16: [u8; 16] => __m128i, "avx2";
    /// Twice 32 bytes.
    of_twice_32: [u8; 64] => [__m256i; 2], "avx2";
    /// 64 bytes.
    of_64: [u8; 64] => __m512i, "avx512f";
    /// Eight words of 32 bits.
    of_8_words: [u32; 8] => __m256i, "avx2";
    /// Eight numbers.
    of_8_numbers: [f64; 8] => __m512d, "avx512f";
    /// Four numbers.
    of_4_numbers: [f64; 4] => __m256d, "avx2";
    /// Sixteen words of 32 bits.
    words: __m512i => [u32; 16], "avx512f";
    /// Eight numbers.
    numbers: __m512d => [f64; 8], "avx512f";
    /// Four numbers.
    four_numbers: __m256d => [f64; 4], "avx2";
}
