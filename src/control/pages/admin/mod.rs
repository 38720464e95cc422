//! Pages for those who are logged in. They hold no script; every change is a form, and is answered with
//! the way to a page that tells what came of it.
//!
//! ```text
//!   shell.rs       the frame: where one can go, who one is, what was just done
//!   overview.rs    what one sees first, and the mode
//!   torrents.rs    all torrents, and those that one looks for
//!   torrent.rs     one of them, and what may be done with it
//!     peers.rs     who is in its swarm
//!   lists.rs       allowlist and blocklist
//!   networks.rs    who is turned away
//!     listing.rs   what both kinds of list have in common
//!   keys.rs        who may announce in the private modes
//!   journal.rs     who did what
//!   operations.rs  reload, snapshot, sweep, stop
//!   parts.rs       what several of them are made of
//! ```

mod journal;
mod keys;
mod listing;
mod lists;
mod networks;
mod operations;
mod overview;
mod parts;
mod peers;
pub(in crate::control) mod shell;
mod torrent;
mod torrents;

use axum::Router;

use crate::control::state::State;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .merge(overview::routes())
        .merge(torrents::routes())
        .merge(torrent::routes())
        .merge(lists::routes())
        .merge(keys::routes())
        .merge(networks::routes())
        .merge(journal::routes())
        .merge(operations::routes())
}
