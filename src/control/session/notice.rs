//! What came of a change, for the page that is shown after it.

use std::fmt::Display;

use crate::control::problem::Problem;

/// A sentence that is shown once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Notice {
    /// Whether it was done.
    pub(crate) is_done: bool,
    /// The sentence, as text: it is escaped where it is shown.
    pub(crate) text: String,
}

impl Notice {
    /// What was asked for was done.
    pub(crate) fn done(text: impl Display) -> Self {
        Self {
            is_done: true,
            text: text.to_string(),
        }
    }

    /// What was asked for was not done.
    pub(crate) fn failed(text: impl Display) -> Self {
        Self {
            is_done: false,
            text: text.to_string(),
        }
    }
}

impl From<Problem> for Notice {
    fn from(problem: Problem) -> Self {
        Self::failed(problem.detail())
    }
}
