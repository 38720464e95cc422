//! History: some numbers for each hour and each day.

use std::ops::Bound;

use super::schema::{self, malformed, read_statistics, read_statistics_key, statistics_key};
use super::{Records, Result};

/// How long the numbers of a row count together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// 3600 seconds.
    Hour,
    /// 86400 seconds.
    Day,
}

impl Span {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Hour => 0,
            Self::Day => 1,
        }
    }
}

impl Records {
    /// Keeps the numbers of the span that began at `start_unix_s`, instead of those that were kept
    /// before.
    pub fn put_statistics(&self, span: Span, start_unix_s: u64, values: &[u64]) -> Result<()> {
        let key = statistics_key(span, start_unix_s);
        let value = schema::write_statistics(values);
        self.write(None, |tables, txn| tables.statistics.put(txn, &key, &value))
    }

    /// When each span began, and its numbers: of those that began at `from_unix_s` or later and before
    /// `to_unix_s`, in the order of time.
    pub fn statistics(
        &self,
        span: Span,
        from_unix_s: u64,
        to_unix_s: u64,
    ) -> Result<Vec<(u64, Vec<u64>)>> {
        let from = statistics_key(span, from_unix_s);
        let to = statistics_key(span, to_unix_s);
        let range = (
            Bound::Included(from.as_slice()),
            Bound::Excluded(to.as_slice()),
        );
        self.read(|tables, txn, _| {
            let rows = tables.statistics.range(txn, &range)?;
            let read = |(key, value)| {
                let start = read_statistics_key(key).ok_or_else(|| malformed("the statistics"))?;
                Ok((start, read_statistics(value)))
            };
            rows.map(|row| row.and_then(read)).collect()
        })
    }

    /// Forgets the spans that began before `before_unix_s`, and returns how many those were.
    pub fn forget_statistics(&self, span: Span, before_unix_s: u64) -> Result<usize> {
        let from = statistics_key(span, 0);
        let to = statistics_key(span, before_unix_s);
        let range = (
            Bound::Included(from.as_slice()),
            Bound::Excluded(to.as_slice()),
        );
        self.write(None, |tables, txn| {
            tables.statistics.delete_range(txn, &range)
        })
    }
}
