//! Memory that nobody may look into: it holds tokens, keys, and the addresses of peers.

use log::warn;
use nix::sys::prctl;

/// Keeps this process out of core dumps, and its memory from other processes of the same user; root may still
/// look. What the process reads of itself in /proc stays readable for it.
///
/// A limit for core dumps (`RLIMIT_CORE`) would not stop a handler that the kernel pipes them to, such as
/// systemd's, and would be inherited by the process after this one.
pub fn keep_from_others() {
    if let Err(error) = prctl::set_dumpable(false) {
        warn!("a core dump of this process would have its secrets in it: {error}");
    }
}

/// The opposite, which the kernel forgets when a process becomes another user.
pub(super) fn show_to_others() {
    if let Err(error) = prctl::set_dumpable(true) {
        warn!("there will be no core dump of this process: {error}");
    }
}
