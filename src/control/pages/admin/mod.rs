//! Pages for those who are logged in. They hold no script; every change is a form, and is answered with
//! the way to a page that tells what came of it.
//!
//! ```text
//!   shell.rs       the frame: where one can go, who one is, what was just done
//!   operations.rs  reload, snapshot, sweep, stop
//! ```

mod operations;
pub(in crate::control) mod shell;

use axum::Router;

use crate::control::state::State;

pub(super) fn routes() -> Router<State> {
    Router::new().merge(operations::routes())
}
