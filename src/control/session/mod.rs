//! Who is logged in, and what may be done with that.
//!
//! ```text
//!   log_in         is this the password of that name?
//!     lockout.rs     may another one be tried yet?
//!     password.rs    Argon2, few at a time
//!     table.rs       from now on there is a session
//!   cookie.rs      which session does a request belong to?
//!   asked.rs       arguments of handlers: Admin for pages, Change for what pages send
//!     csrf.rs        does he want it himself?
//!     form.rs        what was sent, as far as it may go
//!     refusal.rs     why not
//!   notice.rs      what came of it
//! ```
//!
//! A user can do everything. Only the digest of a ticket is kept, in memory, and nothing that is secret
//! is written to a log.

mod asked;
mod cookie;
mod csrf;
mod form;
mod lockout;
mod notice;
mod password;
mod refusal;
mod table;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderValue};
use log::{info, warn};

use super::auth::Caller;
use super::counters::Login;
use super::state::{Seldom, State};
use crate::config::{Config, Secrets};
use crate::store::Action;

pub(crate) use asked::{Admin, Change};
pub(super) use form::{LoginForm, Readers};
pub(crate) use notice::Notice;
pub(crate) use refusal::Refusal;

use cookie::{Kind, Ticket};
use lockout::Lockout;
use password::Passwords;
use table::Table;

/// How often somebody is warned about passwords that are wrong, in seconds.
const WARN_EVERY_S: u32 = 60;

/// Users, and those of them who are logged in.
pub(super) struct Sessions {
    users: ArcSwap<Secrets>,
    table: Mutex<Table>,
    lockout: Mutex<Lockout>,
    passwords: Passwords,
    cookies: Kind,
    warning: Seldom,
    readers: Readers,
}

/// Why somebody is not logged in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The name or the password is wrong; which of them is not told.
    Wrong,
    /// Too many were; so many seconds are to be waited.
    Delayed(u32),
    /// Too many others log in.
    Busy,
    /// There is no randomness to be had.
    NoRandomness,
}

impl Sessions {
    /// Nobody is logged in.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            users: ArcSwap::from_pointee(config.control.users.clone()),
            table: Mutex::default(),
            lockout: Mutex::default(),
            passwords: Passwords::new(),
            cookies: Kind {
                has_tls: config.control.tls.is_some(),
            },
            warning: Seldom::default(),
            readers: Readers::default(),
        }
    }

    /// From now on these are the users. Who is none any more, or has another password, is logged out.
    pub(super) fn reload(&self, users: &Secrets) {
        self.users.store(Arc::new(users.clone()));
        self.table().keep(users);
    }

    /// Whether anybody can log in.
    pub(super) fn has_users(&self) -> bool {
        !self.users.load().is_empty()
    }

    /// Sessions that are open.
    pub(super) fn open(&self, now_s: u32) -> usize {
        self.table().len(now_s)
    }

    /// How many entries of each table went because there was no room for another.
    pub(super) fn let_go(&self) -> [(&'static str, u64); 3] {
        let (names, networks) = self.lockout().let_go();
        [
            ("login_sessions", self.table().let_go),
            ("login_names", names),
            ("login_networks", networks),
        ]
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is one call, so the table is whole whatever became of the last holder.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose session a request belongs to.
pub(super) fn caller(state: &State, headers: &HeaderMap) -> Option<Caller> {
    let ticket = state.sessions.cookies.find(headers)?;
    let now_s = state.clock.now().uptime_s;
    let user = state.sessions.table().see(&ticket.digest(), now_s)?;
    Some(Caller::named(user))
}

/// Begins a session, whose cookie is returned; the one that the request belongs to ends.
pub(super) async fn log_in(
    state: &State,
    form: LoginForm,
    from: IpAddr,
    headers: &HeaderMap,
) -> Result<HeaderValue, Failure> {
    let tried = try_password(state, form, from, headers).await;
    state.counters.count_login(match tried {
        Ok(_) => Login::Ok,
        Err(Failure::Wrong) => Login::Wrong,
        Err(Failure::Delayed(_)) => Login::Delayed,
        Err(Failure::Busy | Failure::NoRandomness) => Login::Busy,
    });
    tried
}

async fn try_password(
    state: &State,
    form: LoginForm,
    from: IpAddr,
    headers: &HeaderMap,
) -> Result<HeaderValue, Failure> {
    let sessions = &state.sessions;
    let now_s = state.clock.now().uptime_s;
    let LoginForm { name, password, .. } = form;
    let begun = sessions.lockout().begin(&name, from, now_s);
    let attempt = begun.map_err(Failure::Delayed)?;
    let users = sessions.users.load_full();
    let is_user = users.contains_key(&name);
    let checked = sessions.passwords.check(state, users, &name, password);
    let Ok(checked) = checked.await else {
        sessions.lockout().take_back(&attempt);
        return Err(Failure::Busy);
    };
    let Some(hash) = checked else {
        wrong(state, &name, is_user, from);
        return Err(Failure::Wrong);
    };
    sessions.lockout().succeeded(&attempt);
    let ticket = Ticket::draw().map_err(|error| {
        warn!("nobody can log in, as there is no randomness: {error}");
        Failure::NoRandomness
    })?;
    let before = sessions.cookies.find(headers);
    {
        let mut table = sessions.table();
        if let Some(before) = before {
            table.end(&before.digest());
        }
        // Within the lock, so that a reload comes before this or finds the session.
        if sessions.users.load().get(&name) != Some(&hash) {
            return Err(Failure::Wrong);
        }
        table.begin(ticket.digest(), &name, hash, now_s);
    }
    info!("{name} has logged in to the pages");
    note(state, Action::Login, &name, from).await;
    Ok(sessions.cookies.set(&ticket, headers))
}

/// Says that a password was wrong, where somebody looks. A name that nobody has may be a password that
/// was typed into the wrong field, so it is written nowhere.
fn wrong(state: &State, name: &str, is_user: bool, from: IpAddr) {
    let now_s = state.clock.now().uptime_s;
    if state.sessions.warning.is_due(now_s, WARN_EVERY_S) {
        let failures = state.counters.read().logins(Login::Wrong) + 1;
        warn!(
            "somebody at {from} could not log in to the pages; {failures} times it failed so far"
        );
    }
    if is_user {
        let (state, name) = (state.clone(), name.to_owned());
        // Nobody waits for it: how long it takes would tell that there is a user of this name.
        tokio::spawn(async move { note(&state, Action::LoginFailed, &name, from).await });
    }
}

async fn note(state: &State, action: Action, by: &str, from: IpAddr) {
    let by = by.to_owned();
    let subject = from.to_canonical().to_string();
    let work = move |state: &super::state::Parts| {
        let registrar = &state.registrar;
        registrar.note_done(action, &subject, &by, "");
    };
    state.on_disk(work).await;
}

/// Ends a session, and has the browser forget it.
pub(super) fn log_out(state: &State, admin: &Admin, headers: &HeaderMap) -> HeaderValue {
    if state.sessions.table().end(admin.id()) {
        state.counters.count_logout();
        info!("{} has logged out of the pages", admin.name());
    }
    state.sessions.cookies.clear(headers)
}
