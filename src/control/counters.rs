//! What the control server counts.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;

use super::session::Refusal;

/// The counters themselves.
#[derive(Default, Debug)]
pub struct ControlCounters {
    /// By the first digit of the status, from 1 to 5.
    answered: [AtomicU64; 5],
    auth_failures: AtomicU64,
    evicted: AtomicU64,
    refused: AtomicU64,
    accept_failed: AtomicU64,
    /// By [`Login`].
    logins: [AtomicU64; Login::ALL.len()],
    logouts: AtomicU64,
    /// By the number of the [`Refusal`].
    refusals: [AtomicU64; Refusal::COUNT],
}

/// What came of an attempt to log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Login {
    /// There is a session.
    Ok,
    /// The name or the password was wrong.
    Wrong,
    /// Too many were wrong before, so it was not looked at.
    Delayed,
    /// Too many others log in, or the tracker failed.
    Busy,
    /// It was no form of our page.
    Refused,
}

impl Login {
    /// All of them, in the order of their counters.
    pub(super) const ALL: [Self; 5] = [
        Self::Ok,
        Self::Wrong,
        Self::Delayed,
        Self::Busy,
        Self::Refused,
    ];

    /// Its name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Delayed => "delayed",
            Self::Busy => "busy",
            Self::Refused => "refused",
        }
    }
}

/// A reading of the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ControlTotals {
    /// Requests by the first digit of the status that answered them, 1 to 5.
    pub answered: [u64; 5],
    /// Requests without a token that is good where one was needed.
    pub auth_failures: u64,
    /// Idle connections that were closed to make room.
    pub evicted: u64,
    /// Connections that found no room.
    pub refused: u64,
    /// Connections that could not be accepted.
    pub accept_failed: u64,
    logins: [u64; Login::ALL.len()],
    /// Sessions that were ended by who had begun them.
    pub logouts: u64,
    refusals: [u64; Refusal::COUNT],
}

impl ControlCounters {
    pub(super) fn count_answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        if let Some(counter) = class.checked_sub(1).and_then(|at| self.answered.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts one more, and tells how many there have been.
    pub(super) fn count_auth_failure(&self) -> u64 {
        self.auth_failures.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn count_evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_accept_failed(&self) {
        self.accept_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_login(&self, login: Login) {
        self.logins[login as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_logout(&self) {
        self.logouts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refusal(&self, refusal: &Refusal) {
        self.refusals[refusal.number()].fetch_add(1, Ordering::Relaxed);
    }

    /// What these counters say now.
    pub fn read(&self) -> ControlTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ControlTotals {
            answered: self.answered.each_ref().map(get),
            auth_failures: get(&self.auth_failures),
            evicted: get(&self.evicted),
            refused: get(&self.refused),
            accept_failed: get(&self.accept_failed),
            logins: self.logins.each_ref().map(get),
            logouts: get(&self.logouts),
            refusals: self.refusals.each_ref().map(get),
        }
    }
}

impl ControlTotals {
    /// Attempts to log in of which this came.
    pub(crate) fn logins(&self, login: Login) -> u64 {
        self.logins[login as usize]
    }

    /// Changes that were refused, by why.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::NAMES.into_iter().zip(self.refusals)
    }

    /// The reading as `name value` words, what is zero left out; nothing when all is.
    pub fn describe(&self) -> String {
        let classes = (1..).zip(self.answered);
        let answered = classes.map(|(class, n)| (format!("answered_{class}xx"), n));
        let others = [
            ("auth_failures", self.auth_failures),
            ("connections_evicted", self.evicted),
            ("connections_refused", self.refused),
            ("accept_failed", self.accept_failed),
        ];
        let others = others.map(|(name, n)| (name.to_owned(), n));
        let logins =
            Login::ALL.map(|login| (format!("logins_{}", login.name()), self.logins(login)));
        let refusals = self
            .refusals()
            .map(|(name, n)| (format!("changes_{name}"), n));
        let logouts = [("logouts".to_owned(), self.logouts)];
        let words: Vec<String> = answered
            .chain(others)
            .chain(logins)
            .chain(logouts)
            .chain(refusals)
            .filter(|(_, n)| *n != 0)
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_the_first_digit_of_their_answers() {
        let counters = ControlCounters::default();
        for status in [200, 204, 404, 500] {
            counters.count_answered(StatusCode::from_u16(status).unwrap());
        }
        counters.count_answered(StatusCode::from_u16(999).unwrap());
        assert_eq!(counters.count_auth_failure(), 1);
        assert_eq!(counters.read().answered, [0, 2, 0, 1, 1]);
        assert_eq!(
            counters.read().describe(),
            "answered_2xx 2, answered_4xx 1, answered_5xx 1, auth_failures 1"
        );
        assert_eq!(ControlTotals::default().describe(), "");
    }
}
