//! The same code once more for newer processors: `vectorised!` compiles a function for any processor, for those with AVX2 and
//! for those with AVX-512, and asks at run time which of them may run.
//!
//! Invariant: all forms give the same bits. Refuses to: use fused multiply-add, which rounds otherwise.

#[cfg(target_arch = "x86_64")]
pub(crate) mod vectors;

#[cfg(target_arch = "x86_64")]
use std::sync::atomic::{AtomicU8, Ordering};

/// What a form of a function is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instructions {
    /// What every processor has.
    Common = 0,
    /// AVX2 and what came with it.
    Newer = 1,
    /// AVX-512 with bytes, words and compression.
    Newest = 2,
}

/// The most that the processor has.
#[inline]
pub(crate) fn instructions() -> Instructions {
    #[cfg(test)]
    if let Some(asked) = tests::ASKED.get() {
        return asked.min(of_processor());
    }
    of_processor()
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn of_processor() -> Instructions {
    // Asked many times for each line, so that the answer is kept.
    static KNOWN: AtomicU8 = AtomicU8::new(u8::MAX);
    match KNOWN.load(Ordering::Relaxed) {
        0 => Instructions::Common,
        1 => Instructions::Newer,
        2 => Instructions::Newest,
        _ => {
            let found = asked();
            KNOWN.store(found as u8, Ordering::Relaxed);
            found
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[cold]
fn asked() -> Instructions {
    use std::arch::is_x86_feature_detected as has;
    let is_newer = has!("avx2") && has!("bmi1") && has!("bmi2") && has!("lzcnt") && has!("popcnt");
    if !is_newer {
        return Instructions::Common;
    }
    let is_newest = has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    if is_newest && has!("avx512vbmi2") { Instructions::Newest } else { Instructions::Newer }
}

#[cfg(not(target_arch = "x86_64"))]
fn of_processor() -> Instructions {
    Instructions::Common
}

/// Declares a function that is compiled three times.
macro_rules! vectorised {
    ($(#[$about:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $made:ty)? $body:block) => {
        $(#[$about])*
        $visibility fn $name($($argument: $type),*) $(-> $made)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $made)? $body
            #[cfg(target_arch = "x86_64")]
            match crate::instructions::instructions() {
                crate::instructions::Instructions::Newest => {
                    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
                    fn newest($($argument: $type),*) $(-> $made)? {
                        plain($($argument),*)
                    }
                    #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
                    return unsafe { newest($($argument),*) };
                }
                crate::instructions::Instructions::Newer => {
                    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
                    fn newer($($argument: $type),*) $(-> $made)? {
                        plain($($argument),*)
                    }
                    #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
                    return unsafe { newer($($argument),*) };
                }
                crate::instructions::Instructions::Common => {}
            }
            plain($($argument),*)
        }
    };
}
pub(crate) use vectorised;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::Instructions;

    thread_local! {
        pub(super) static ASKED: Cell<Option<Instructions>> = const { Cell::new(None) };
    }

    /// What older processors make of it: one with AVX2, and any other.
    pub(crate) fn of_older<R>(mut run: impl FnMut() -> R) -> [R; 2] {
        [Instructions::Newer, Instructions::Common].map(|instructions| {
            ASKED.set(Some(instructions));
            let made = run();
            ASKED.set(None);
            made
        })
    }
}
