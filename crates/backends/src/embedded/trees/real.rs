//! The two precisions that tree libraries compute in: XGBoost single, LightGBM double.

use std::fmt::Debug;
use std::ops::AddAssign;

/// `f32` or `f64`, as far as a forest needs it.
pub(super) trait Real: Copy + PartialOrd + AddAssign + Debug + Send + Sync + 'static {
    const NAN: Self;
    const ZERO: Self;
    const NEG_INFINITY: Self;

    fn is_nan(self) -> bool;
    fn from_f64(number: f64) -> Self;
    fn to_f64(self) -> f64;
    /// Exact for indices below 2^24.
    fn from_index(index: usize) -> Self;
    fn to_index(self) -> usize;
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            const NAN: Self = <$type>::NAN;
            const ZERO: Self = 0.0;
            const NEG_INFINITY: Self = <$type>::NEG_INFINITY;

            #[inline(always)]
            fn is_nan(self) -> bool {
                <$type>::is_nan(self)
            }

            #[inline(always)]
            fn from_f64(number: f64) -> Self {
                number as $type
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn from_index(index: usize) -> Self {
                index as $type
            }

            #[inline(always)]
            fn to_index(self) -> usize {
                self as usize
            }
        }
    };
}

real!(f32);
real!(f64);
