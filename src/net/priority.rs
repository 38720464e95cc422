//! Threads that may wait: everything but the cores and those that carry connections.

/// How much nicer than others: a tenth of their share of a busy CPU.
const NICENESS: i32 = 10;

/// From now on the calling thread gives way to others. It goes on as it was where the system does not
/// allow it.
pub fn low_priority() {
    // SAFETY: setpriority takes no pointer; on Linux, process 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
