//! What the holders of keys have uploaded and downloaded, on its way from the cores to the records.

use super::{Registrar, RegistrarError};
use crate::store::Credit;
use crate::swarm::{Credited, Transfers};

/// Credits that are not on disk yet.
#[derive(Default)]
pub struct Credits(Vec<Credit>);

impl Credits {
    /// True when all is on disk.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what a core has. What belongs to a key that was removed is forgotten.
    pub fn add(&mut self, registrar: &Registrar, transfers: &Transfers) {
        if transfers.is_empty() {
            return;
        }
        let now_s = registrar.clock.now().uptime_s;
        let ago_s = |sum: &Credited| now_s.saturating_sub(sum.heard_s);
        self.add_sums(registrar, transfers.iter().map(|sum| (sum, ago_s(sum))));
    }

    /// Adds sums, each with the seconds since a client announced last. What belongs to a key that was removed
    /// is forgotten.
    pub fn add_sums<'s>(
        &mut self,
        registrar: &Registrar,
        sums: impl Iterator<Item = (&'s Credited, u32)>,
    ) {
        let now = registrar.clock.now();
        let desk = registrar.desk();
        self.0.extend(sums.filter_map(|(sum, ago_s)| {
            Some(Credit {
                key: *desk.keys.get(&sum.key)?,
                info_hash: sum.info_hash,
                uploaded: sum.uploaded,
                downloaded: sum.downloaded,
                left: sum.left,
                seed_s: sum.seed_s.into(),
                at_unix_s: now.unix_s.saturating_sub(ago_s.into()),
            })
        }));
    }

    /// Writes them; on an error they stay.
    pub fn write(&mut self, registrar: &Registrar) -> Result<(), RegistrarError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let records = registrar.records().ok_or(RegistrarError::NoStore)?;
        records.credit(&self.0)?;
        self.0.clear();
        Ok(())
    }
}
