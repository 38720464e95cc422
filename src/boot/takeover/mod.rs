//! A restart that no client notices: SIGUSR2 starts the program anew, and the new process takes over the
//! sockets, the store and the swarms while the old one still serves.
//!
//! ```text
//!   old (predecessor.rs)                              new (heir.rs)
//!
//!   has it started (launcher.rs), its standard
//!   input a passage                           ---->
//!   Hello, and each socket                    ---->   reads its configuration, binds what is missing
//!                                             <----   ReadyForState
//!   closes the store, lends it: Go            ---->   opens the store, starts its cores
//!   all torrents, and what changes: State     ---->   each core keeps what it owns
//!   Told                                      ---->
//!                                             <----   ReadyToServe
//!   HTTP lets nobody in and answers the rest
//!   cores leave the UDP sockets to the kernel's queue
//!   the last changes, what is to be credited, End --> cores read the sockets, HTTP accepts
//!                                             <----   Reading, Serving
//!   tells systemd who it is: Farewell         ---->   READY=1
//!   ends
//! ```
//!
//! No socket is ever closed, so nobody is refused; what arrives between the old one's last look and the new
//! one's first waits in the kernel. If the new one dies, or says nothing for too long, before it serves, the
//! old one ends it and goes on. Words are JSON where they are small, so that two versions understand each
//! other.

mod estate;
mod heir;
mod launcher;
mod predecessor;
mod words;

pub(super) use estate::{Estate, Heirloom, Kind};
pub(super) use heir::{Heir, Inheritance};
pub(super) use launcher::Launcher;
pub(crate) use launcher::launch_if_asked;
pub(super) use predecessor::{Doors, Predecessor};
pub(super) use words::{Hello, Owed};

use crate::net::passage::close_inherited;

/// Set in the environment of a process that is to take over: the descriptor of its end of the passage.
const VARIABLE: &str = "SHOAL_TAKEOVER";

/// Closes what a process that is to take over has from its predecessor without wanting it. To be called
/// before anything is opened.
pub(crate) fn shed() {
    if std::env::var_os(VARIABLE).is_some() {
        close_inherited();
    }
}
