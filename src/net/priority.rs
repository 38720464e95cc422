//! Threads that may wait: everything but the cores and those that carry connections.

use libc::{SCHED_BATCH, SCHED_IDLE};

/// How much nicer than others: a tenth of their share of a busy CPU.
const NICENESS: i32 = 10;

/// For how long such a thread may keep a CPU from one that wakes up there: the least that Linux takes.
/// Without it that is some milliseconds, however nice it is.
const SLICE_NS: u64 = 100_000;

/// From now on the calling thread gives way to others, and still answers people on a busy machine. It
/// takes no CPU from a core by waking up. It goes on as it was where the system does not allow it;
/// slices can be chosen since Linux 6.12.
pub fn low_priority() {
    schedule(SCHED_BATCH, SLICE_NS);
}

/// From now on the calling thread runs where nothing else wants to, and leaves at once when something
/// does: a core that wakes up takes its CPU back, and one that is busy is disturbed for 1/300 of the
/// time at most. For work that nobody waits for. An unprivileged thread stays so for life.
pub fn background() {
    schedule(SCHED_IDLE, 0);
}

fn schedule(policy: libc::c_int, slice_ns: u64) {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: policy as u32,
        sched_flags: 0,
        sched_nice: NICENESS,
        sched_priority: 0,
        sched_runtime: slice_ns,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the pointer is to attributes that live through the call and know their size; 0 is the
    // calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}
