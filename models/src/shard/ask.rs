//! A question that is either answered or not.

use crate::wire::InfoHash;

pub struct Ask {
    pub(super) desk: usize,
    pub ticket: usize,
    about: Option<InfoHash>,
    answers: u32,
}

impl Ask {
    pub fn blank(desk: usize) -> Self {
        Self {
            desk,
            ticket: 0,
            about: None,
            answers: 0,
        }
    }

    pub fn begin(&mut self, about: InfoHash) {
        self.about = Some(about);
        self.answers = 0;
    }

    pub fn next(&self) -> Option<&InfoHash> {
        self.about.as_ref().filter(|_| self.answers == 0)
    }

    pub fn about(&self) -> Option<&InfoHash> {
        self.about.as_ref()
    }

    pub(super) fn answer(&mut self) {
        self.answers += 1;
    }

    /// How often a core has answered it since it began.
    pub fn answers(&self) -> u32 {
        self.answers
    }
}
