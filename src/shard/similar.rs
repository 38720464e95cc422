//! From which swarm a request is answered: that of its torrent, or that of an older one whose info-hash is
//! similar. The lists apply to both.

use crate::gate::access::HashAccess;
use crate::swarm::{PeerAnnounce, Swarms, Totals};
use crate::wire::InfoHash;

/// Whether the torrent of an announce is served. Names the older torrent in place of a newer one, and its
/// `hash`. What is turned away changes nothing, so that a swarm which is blocked is not reached through
/// another info-hash.
#[inline]
pub(super) fn admit(
    peer: &mut PeerAnnounce,
    hash: &mut u64,
    swarms: &mut Swarms,
    hashes: &HashAccess,
    now_s: u32,
) -> bool {
    if !serves(hashes, &peer.info_hash) {
        return false;
    }
    let Some(older) = swarms.follow(&peer.info_hash, now_s) else {
        return true;
    };
    *hash = swarms.hash(&older);
    peer.info_hash = older;
    serves(hashes, &older)
}

/// The counts that a torrent is answered with; none where it, or the one that stands for it, is not served.
pub(super) fn totals(swarms: &Swarms, hashes: &HashAccess, info_hash: &InfoHash) -> Totals {
    let older = swarms.older(info_hash);
    let answered_from = older.as_ref().unwrap_or(info_hash);
    if serves(hashes, info_hash) && serves(hashes, answered_from) {
        swarms.totals(answered_from)
    } else {
        Totals::default()
    }
}

/// Whether a torrent is served, and the one that stands for it, if one does.
pub(super) fn is_served(swarms: &Swarms, hashes: &HashAccess, info_hash: &InfoHash) -> bool {
    let permits_older = || {
        swarms
            .older(info_hash)
            .is_none_or(|older| hashes.permits(&older))
    };
    !hashes.restricts() || hashes.permits(info_hash) && permits_older()
}

#[inline]
fn serves(hashes: &HashAccess, info_hash: &InfoHash) -> bool {
    !hashes.restricts() || hashes.permits(info_hash)
}
