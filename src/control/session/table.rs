//! The sessions, in memory only: a restart ends all of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::cookie::Digest;
use super::notice::Notice;
use crate::config::{Secret, Secrets};

/// Sessions at once; the one that has been idle for longest goes first.
const SESSIONS_MAX: usize = 1000;

/// Seconds that a session lasts, whatever happens.
const AGE_S_MAX: u32 = 12 * 3600;

/// Seconds after which a session ends in which nothing happens.
const IDLE_S_MAX: u32 = 3600;

/// Notices that wait to be shown; more come from somebody who looks at no page.
const NOTICES_MAX: usize = 4;

/// All sessions. Times are seconds of the tracker's clock.
#[derive(Default)]
pub(super) struct Table {
    sessions: HashMap<Digest, Session>,
    /// Those that ended to make room.
    pub(super) let_go: u64,
}

struct Session {
    user: Arc<str>,
    /// The hash that the user logged in by: with another one, he has to log in again.
    hash: Secret,
    begun_s: u32,
    seen_s: u32,
    notices: Vec<Notice>,
}

impl Session {
    fn is_over(&self, now_s: u32) -> bool {
        now_s.saturating_sub(self.begun_s) >= AGE_S_MAX
            || now_s.saturating_sub(self.seen_s) >= IDLE_S_MAX
    }
}

impl Table {
    /// Begins a session.
    pub(super) fn begin(&mut self, id: Digest, user: &str, hash: Secret, now_s: u32) {
        self.sessions.retain(|_, session| !session.is_over(now_s));
        if self.sessions.len() >= SESSIONS_MAX {
            let idle = self
                .sessions
                .iter()
                .min_by_key(|(_, session)| session.seen_s);
            if let Some(idle) = idle.map(|(id, _)| *id) {
                self.sessions.remove(&idle);
                self.let_go += 1;
            }
        }
        let session = Session {
            user: user.into(),
            hash,
            begun_s: now_s,
            seen_s: now_s,
            notices: Vec::new(),
        };
        self.sessions.insert(id, session);
    }

    /// Whose session this is; it is not idle now.
    pub(super) fn see(&mut self, id: &Digest, now_s: u32) -> Option<Arc<str>> {
        let session = self.sessions.get_mut(id)?;
        if session.is_over(now_s) {
            self.sessions.remove(id);
            return None;
        }
        session.seen_s = now_s;
        Some(Arc::clone(&session.user))
    }

    /// Ends a session; false if there is none.
    pub(super) fn end(&mut self, id: &Digest) -> bool {
        self.sessions.remove(id).is_some()
    }

    /// Ends the sessions of those who are no users any more, or have another password.
    pub(super) fn keep(&mut self, users: &Secrets) {
        self.sessions
            .retain(|_, session| users.get(&*session.user) == Some(&session.hash));
    }

    /// Something to be shown on the next page.
    pub(super) fn notify(&mut self, id: &Digest, notice: Notice) {
        if let Some(session) = self.sessions.get_mut(id) {
            if session.notices.len() >= NOTICES_MAX {
                session.notices.remove(0);
            }
            session.notices.push(notice);
        }
    }

    /// What is to be shown, once.
    pub(super) fn take_notices(&mut self, id: &Digest) -> Vec<Notice> {
        let session = self.sessions.get_mut(id);
        session.map_or_else(Vec::new, |session| std::mem::take(&mut session.notices))
    }

    /// Sessions that are open.
    pub(super) fn len(&self, now_s: u32) -> usize {
        let open = self
            .sessions
            .values()
            .filter(|session| !session.is_over(now_s));
        open.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> Digest {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    }

    fn hash() -> Secret {
        Secret::new("hash")
    }

    fn is_open(table: &mut Table, n: usize, now_s: u32) -> bool {
        table.see(&id(n), now_s).is_some()
    }

    #[test]
    fn a_session_ends_after_an_hour_without_a_request() {
        let mut table = Table::default();
        table.begin(id(1), "root", hash(), 100);
        assert!(is_open(&mut table, 1, 100 + 3599));
        assert!(is_open(&mut table, 1, 100 + 3599 + 3599));
        assert!(!is_open(&mut table, 1, 100 + 3599 + 3599 + 3600));
        assert!(table.sessions.is_empty());
    }

    #[test]
    fn a_session_ends_after_twelve_hours_however_busy_it_is() {
        let mut table = Table::default();
        table.begin(id(1), "root", hash(), 0);
        for minute in 1..720 {
            assert!(is_open(&mut table, 1, minute * 60));
        }
        assert_eq!(table.len(719 * 60), 1);
        assert_eq!(table.len(720 * 60), 0);
        assert!(!is_open(&mut table, 1, 720 * 60));
    }

    #[test]
    fn there_are_at_most_a_thousand_and_the_idlest_goes_first() {
        let mut table = Table::default();
        for n in 0..SESSIONS_MAX {
            table.begin(id(n), "root", hash(), n as u32);
        }
        assert!(is_open(&mut table, 0, 1001));
        table.begin(id(SESSIONS_MAX), "root", hash(), 1002);
        assert_eq!(table.sessions.len(), SESSIONS_MAX);
        assert_eq!(table.let_go, 1);
        assert!(is_open(&mut table, 0, 1003) && !is_open(&mut table, 1, 1003));
    }

    #[test]
    fn a_user_who_is_removed_or_has_another_password_loses_his_sessions() {
        let mut table = Table::default();
        for (n, user) in ["root", "root", "guest", "gone"].into_iter().enumerate() {
            table.begin(id(n), user, hash(), 0);
        }
        let users = [("root", "hash"), ("guest", "another hash")];
        let users = users.map(|(name, hash)| (name.to_owned(), Secret::new(hash)));
        table.keep(&users.into());
        let open: Vec<_> = (0..4).filter(|n| is_open(&mut table, *n, 1)).collect();
        assert_eq!(open, [0, 1]);
    }

    #[test]
    fn a_notice_is_shown_once_and_to_its_session_alone() {
        let mut table = Table::default();
        table.begin(id(1), "root", hash(), 0);
        table.begin(id(2), "root", hash(), 0);
        for n in 0..6 {
            table.notify(&id(1), Notice::done(n));
        }
        table.notify(&id(3), Notice::done("lost"));
        assert!(table.take_notices(&id(2)).is_empty());
        let texts = table.take_notices(&id(1)).into_iter();
        let texts: Vec<String> = texts.map(|notice| notice.text).collect();
        assert_eq!(texts, ["2", "3", "4", "5"]);
        assert!(table.take_notices(&id(1)).is_empty());
    }
}
