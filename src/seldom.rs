//! Warnings whose cause may come as often as it likes, because clients provoke it.

use std::fmt;

/// Seconds between two warnings of the same kind.
const EVERY_S: u32 = 60;

/// Lets a warning through once a minute and counts those that it holds back.
///
/// ```
/// # use shoal::seldom::Seldom;
/// let mut seldom = Seldom::default();
/// let now_s = 7;
/// if let Some(more) = seldom.pass(now_s) {
///     log::warn!("the disk is full{more}");
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Seldom {
    passed_s: Option<u32>,
    held_back: u64,
}

/// How many warnings were held back before one; shown behind it as ` (and 3 more)`, or as nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldBack(pub u64);

impl Seldom {
    /// Whether to warn now, `now_s` seconds after some beginning: yes, unless that was done within
    /// the last minute.
    pub fn pass(&mut self, now_s: u32) -> Option<HeldBack> {
        let is_new = |passed_s: u32| now_s.saturating_sub(passed_s) >= EVERY_S;
        if self.passed_s.is_none_or(is_new) {
            self.passed_s = Some(now_s);
            Some(HeldBack(std::mem::take(&mut self.held_back)))
        } else {
            self.held_back += 1;
            None
        }
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_passes_once_a_minute_with_the_number_of_those_before() {
        let mut seldom = Seldom::default();
        assert_eq!(seldom.pass(100), Some(HeldBack(0)));
        assert_eq!(seldom.pass(100), None);
        assert_eq!(seldom.pass(159), None);
        let more = seldom.pass(160).expect("a minute has passed");
        assert_eq!(more.to_string(), " (and 2 more)");
        assert_eq!(seldom.pass(161), None);
        let more = seldom.pass(400).expect("minutes have passed");
        assert_eq!(more.to_string(), " (and 1 more)");
        let more = seldom.pass(500).expect("and another");
        assert_eq!(more.to_string(), "");
    }
}
