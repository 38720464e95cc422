//! The one processor hint that pays: fetch a cache line before it is needed.
//!
//! At a million torrents nearly every announce waits for memory, and a processor can wait for many
//! lines at one time. So a turn asks for the lines of all its requests first and answers then.

#![allow(unsafe_code)]

/// Asks for the cache line in which `value` begins, and returns at once. Without effect on what
/// the program computes, and without any effect at all where there is no such instruction in
/// stable Rust (aarch64).
#[inline(always)]
#[allow(clippy::inline_always)] // a call would cost more than the instruction it wraps
pub fn prefetch_read<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint: it reads nothing into the program and cannot fault, not
        // even on an address that is not mapped; this one comes from a live reference anyway. Its
        // instruction set (SSE) is part of every x86_64 processor.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
