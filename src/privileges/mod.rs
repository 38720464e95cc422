//! What the process lets go of once its ports are bound: whoever gets into it from the network is to find as
//! little as possible.
//!
//! ```text
//!   user.rs           root becomes somebody else
//!   capabilities.rs   what root could do in parts
//!   files.rs          Landlock: which folders are left, to read and to write
//!   system_calls.rs   seccomp: which calls of the kernel are left
//!   secrets.rs        memory that nobody may look into
//! ```
//!
//! All of it is for life and for all threads, so it is done while there is one thread. A kernel that lacks
//! one of them is told in the log and no reason not to serve.

mod capabilities;
mod files;
mod secrets;
mod system_calls;
mod user;

use std::path::Path;

use log::{info, warn};
use nix::sys::prctl;

use crate::config::Config;

pub use files::{Folders, is_out_of_reach, reason};
pub use secrets::keep_from_others;
pub use user::become_user;

/// Restricts the calling thread and all that it starts from now on, as `config` says; `file` is where that was
/// read. To be called once all is bound and before there are other threads. Says in the log what is in force
/// and what is not.
pub fn restrict(config: &Config, file: Option<&Path>) {
    if let Err(error) = prctl::set_no_new_privs() {
        warn!("sandbox: the kernel does not keep programs from gaining rights: {error}");
    }
    match capabilities::drop_all() {
        Ok(()) => {}
        Err(error) => warn!("sandbox: capabilities cannot be given up: {error}"),
    }
    if config.sandbox.core_dumps {
        secrets::show_to_others();
    } else {
        keep_from_others();
    }
    if config.sandbox.files {
        match Folders::of(config, file).restrict() {
            Ok(sentence) => info!("sandbox: {sentence}"),
            Err(why) => warn!(
                "sandbox: this process may touch all files that its user may, as {why}; \
                 sandbox.files = false says that this is known"
            ),
        }
    }
    if config.sandbox.system_calls {
        match system_calls::restrict() {
            Ok(calls) => info!(
                "sandbox: {calls} system calls are left; others fail, and those that only an intruder \
                 makes end the process"
            ),
            Err(why) => warn!(
                "sandbox: all system calls are left, as {why}; sandbox.system_calls = false says that \
                 this is known"
            ),
        }
    }
}

/// Takes away what only the start of threads needed: no ring can be opened any more. To be called when all
/// threads run.
pub fn restrict_further(config: &Config) {
    if config.sandbox.system_calls
        && let Err(why) = system_calls::forbid_rings()
    {
        log::debug!("sandbox: rings can still be opened, as {why}");
    }
}
