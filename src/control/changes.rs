//! Changes that the API and the pages make in the same way. `by` is who makes them, as the journal tells it.

use ipnet::IpNet;

use super::problem::Problem;
use super::state::{Parts, State};
use crate::gate::access::Mode;
use crate::store::{Action, List};
use crate::wire::InfoHash;

/// Puts torrents on a list; tells how many are new there.
pub(super) async fn put(
    state: &State,
    list: List,
    hashes: Vec<InfoHash>,
    by: &str,
    reason: String,
) -> Result<usize, Problem> {
    let by = by.to_owned();
    let work = move |state: &Parts| match list {
        List::Allowed => state.registrar.allow(&hashes, &by, &reason),
        List::Blocked => state.registrar.block(&hashes, &by, &reason),
    };
    Ok(state.on_disk(work).await?)
}

/// Takes torrents from a list; tells how many were there. One that the operator's file has stays, and all
/// others with it.
pub(super) async fn take(
    state: &State,
    list: List,
    hashes: Vec<InfoHash>,
    by: &str,
    reason: String,
) -> Result<usize, Problem> {
    let in_file = hashes.iter().find(|hash| is_in_file(state, list, hash));
    if let Some(info_hash) = in_file {
        let file = match list {
            List::Allowed => "access.allowlist",
            List::Blocked => "access.blocklist",
        };
        return Err(Problem::conflict(format_args!(
            "{info_hash} is in the file of {file}; take it from there and reload"
        )));
    }
    let by = by.to_owned();
    let work = move |state: &Parts| match list {
        List::Allowed => state.registrar.disallow(&hashes, &by, &reason),
        List::Blocked => state.registrar.unblock(&hashes, &by, &reason),
    };
    Ok(state.on_disk(work).await?)
}

/// Whether the operator's file of a list has a torrent.
pub(super) fn is_in_file(state: &Parts, list: List, info_hash: &InfoHash) -> bool {
    let (allowed, blocked) = state.registrar.in_files(info_hash);
    match list {
        List::Allowed => allowed,
        List::Blocked => blocked,
    }
}

/// Forgets a torrent with its peers and its count of completed downloads; tells whether it was known.
pub(super) async fn forget(state: &State, info_hash: InfoHash, by: &str) -> Result<bool, Problem> {
    let known = state.errands.forget(&[info_hash]).await;
    let forgotten = known.map_err(|_| Problem::busy())? > 0;
    if forgotten {
        let by = by.to_owned();
        let work = move |state: &Parts| {
            let registrar = &state.registrar;
            registrar.note_done(Action::Forget, &info_hash.to_string(), &by, "");
        };
        state.on_disk(work).await;
    }
    Ok(forgotten)
}

/// Turns networks away; tells how many of them are new on the list.
pub(super) async fn block_networks(
    state: &State,
    networks: Vec<IpNet>,
    by: &str,
    reason: String,
) -> Result<usize, Problem> {
    let by = by.to_owned();
    let work = move |state: &Parts| state.registrar.block_networks(&networks, &by, &reason);
    Ok(state.on_disk(work).await?)
}

/// Turns networks away no more; tells how many of them were on the list.
pub(super) async fn unblock_networks(
    state: &State,
    networks: Vec<IpNet>,
    by: &str,
    reason: String,
) -> Result<usize, Problem> {
    let by = by.to_owned();
    let work = move |state: &Parts| state.registrar.unblock_networks(&networks, &by, &reason);
    Ok(state.on_disk(work).await?)
}

/// Serves in another mode, until the configuration is read again.
pub(super) async fn set_mode(state: &State, name: &str, by: &str) -> Result<Mode, Problem> {
    let mode = Mode::parse(name).ok_or_else(|| {
        let names = Mode::ALL.map(Mode::name).join(", ");
        Problem::bad_request(format_args!("there is no such mode; there are {names}"))
    })?;
    let by = by.to_owned();
    state
        .on_disk(move |state| state.registrar.set_mode(mode, &by))
        .await;
    Ok(mode)
}
