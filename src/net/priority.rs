//! Threads that may wait: everything but the cores and those that carry connections.

/// How much nicer than others: a tenth of their share of a busy CPU.
const NICENESS: i32 = 10;

/// For how long such a thread may keep a CPU from one that wakes up there: the least that Linux takes.
/// Without it that is some milliseconds, however nice it is.
const SLICE_NS: u64 = 100_000;

/// From now on the calling thread gives way to others. It goes on as it was where the system does not
/// allow it; slices can be chosen since Linux 6.12.
pub fn low_priority() {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: NICENESS,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the pointer is to attributes that live through the call and know their size; 0 is the
    // calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}
