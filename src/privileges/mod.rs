//! What the process lets go of once its ports are bound: whoever gets into it from the network is to find as
//! little as possible.
//!
//! ```text
//!   user.rs           root becomes somebody else
//!   capabilities.rs   what root could do in parts
//!   files.rs          Landlock: which folders are left, to read and to write
//!   system_calls.rs   seccomp: which calls of the kernel are left
//! ```
//!
//! All of it is for life and for all threads, so it is done while there is one thread. A kernel that lacks
//! one of them is told in the log and no reason not to serve.

mod capabilities;
mod files;
mod system_calls;
mod user;

use std::path::Path;

use log::{Level, debug};
use nix::sys::prctl;

use crate::config::Config;

pub use files::{Folders, TCP_SINCE, is_out_of_reach, landlock_version, reason};
pub use user::become_user;

/// What is in force and what is not: sentences for the log, with their levels.
pub type Notes = Vec<(Level, String)>;

/// Restricts the calling thread and all that it starts from now on, as `config` says; `file` is where that was
/// read. To be called once all is bound and before there are other threads. It writes nothing to the log, as
/// nobody is to wait for that before requests are answered.
pub fn restrict(config: &Config, file: Option<&Path>) -> Notes {
    let mut notes = Notes::new();
    let mut warn = |sentence| notes.push((Level::Warn, sentence));
    if let Err(error) = prctl::set_no_new_privs() {
        warn(format!(
            "sandbox: the kernel does not keep programs from gaining rights: {error}"
        ));
    }
    if let Err(error) = capabilities::drop_all() {
        warn(format!("sandbox: capabilities cannot be given up: {error}"));
    }
    if let Err(error) = prctl::set_dumpable(config.sandbox.core_dumps) {
        warn(format!(
            "sandbox: whether there are core dumps is up to the kernel: {error}"
        ));
    }
    if config.sandbox.files {
        notes.push(match Folders::of(config, file).restrict() {
            Ok(sentence) => (Level::Info, format!("sandbox: {sentence}")),
            Err(why) => (
                Level::Warn,
                format!(
                    "sandbox: this process may touch all files that its user may, as {why}; \
                     sandbox.files = false says that this is known"
                ),
            ),
        });
    }
    if config.sandbox.system_calls {
        notes.push(match system_calls::restrict() {
            Ok(calls) => (
                Level::Info,
                format!(
                    "sandbox: {calls} system calls are left; others fail, and those that only an \
                     intruder makes end the process"
                ),
            ),
            Err(why) => (
                Level::Warn,
                format!(
                    "sandbox: all system calls are left, as {why}; sandbox.system_calls = false says \
                     that this is known"
                ),
            ),
        });
    }
    notes
}

/// Takes away what only the start of threads needed: no ring can be opened any more. To be called when all
/// threads run.
pub fn restrict_further(config: &Config) {
    if config.sandbox.system_calls
        && let Err(why) = system_calls::forbid_rings()
    {
        debug!("sandbox: rings can still be opened, as {why}");
    }
}
