//! The same code once more for newer processors: `vectorised!` compiles a function for any processor and for those with AVX2,
//! and asks at run time which of them may run.
//!
//! Invariant: both give the same bits, since both are the same Rust. Refuses to: use fused multiply-add, which rounds otherwise.

/// Whether the processor has the instructions that the second form is compiled for.
#[inline]
pub(crate) fn are_newer() -> bool {
    #[cfg(test)]
    if tests::IS_OLD.get() {
        return false;
    }
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Declares a function that is compiled twice.
macro_rules! vectorised {
    ($(#[$about:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $made:ty)? $body:block) => {
        $(#[$about])*
        $visibility fn $name($($argument: $type),*) $(-> $made)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $made)? $body
            #[cfg(target_arch = "x86_64")]
            if crate::instructions::are_newer() {
                #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
                fn newer($($argument: $type),*) $(-> $made)? {
                    plain($($argument),*)
                }
                #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
                return unsafe { newer($($argument),*) };
            }
            plain($($argument),*)
        }
    };
}
pub(crate) use vectorised;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        pub(super) static IS_OLD: Cell<bool> = const { Cell::new(false) };
    }

    /// What an old processor makes of it.
    pub(crate) fn of_old<R>(run: impl FnOnce() -> R) -> R {
        IS_OLD.set(true);
        let made = run();
        IS_OLD.set(false);
        made
    }
}
