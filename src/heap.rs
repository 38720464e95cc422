//! What the tracker asks of the C library's allocator: large pieces apart, and what is free back to the
//! kernel.
//!
//! Each core allocates from an arena of its own. The C library returns only what is free at the end of an
//! arena; one list of peers that stays keeps everything before it. So large pieces, chunks of records and
//! long lists, are mapped each by itself: they grow by moving page tables instead of bytes, and they go when
//! they are freed. What remains are short lists and buckets, which [`give_back`] returns after a flood.
//!
//! `bench/README.md` has what this and other allocators came to.

#![allow(unsafe_code, reason = "the C library's allocator has no safe door")]

/// Pieces of this many bytes are mapped each by itself. Said outright, because the C library else raises
/// it to the largest piece that was ever freed, up to 32 MiB.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: libc::c_int = 128 << 10;

/// Sets the allocator up; to be called before there are threads. Without effect where the C library is
/// not glibc.
pub fn prepare() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt changes a number within the allocator, under its lock. It takes no pointer, and no
    // piece that was allocated before is touched.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
    }
}

/// Gives whole free pages back to the kernel, of all threads. Takes milliseconds for every hundred MiB, in
/// which a thread that allocates waits: to be called seldom, and by a thread that is in no hurry. Without
/// effect where the C library is not glibc.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the lock of each arena and gives up pages of free pieces only, of which
    // nobody holds a pointer; the kernel fills them with zeroes when they are used again.
    unsafe {
        libc::malloc_trim(0);
    }
}
