//! Becoming somebody else.

use std::ffi::CString;

use nix::unistd::{Uid, User, initgroups, setgid, setuid};

/// Gives up root for `name`, for good: groups first, then the user, then the proof that there is no way
/// back. Does nothing when `name` is empty or already who we are. The error is one sentence.
pub fn become_user(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Ok(());
    }
    let refused = |why: String| format!("cannot become workers.user = \"{name}\": {why}");
    let user = User::from_name(name)
        .map_err(|error| refused(error.to_string()))?
        .ok_or_else(|| {
            refused("this host has no such user; `useradd --system` makes one".into())
        })?;
    if Uid::effective() == user.uid {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        return Err(refused(
            "only root may; start as root or leave workers.user empty".into(),
        ));
    }
    let c_name = CString::new(name).map_err(|error| refused(error.to_string()))?;
    initgroups(&c_name, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .map_err(|error| refused(error.to_string()))?;
    if !user.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(refused(
            "the kernel would let the process become root again".into(),
        ));
    }
    log::info!("running as user {name}");
    Ok(())
}
