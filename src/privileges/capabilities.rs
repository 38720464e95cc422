//! The parts of root's power, which are called capabilities.

#![allow(unsafe_code, reason = "the C library has no function for capabilities")]

use std::io;

/// Whoever stays root goes on reading and writing what belongs to others, in the folders that are left to it;
/// without, a root whose folders belong to somebody else could not serve.
const CAP_DAC_OVERRIDE: u32 = 1;

/// Rings are memory that stays, and those of many cores may be more than the limit of a user.
const CAP_IPC_LOCK: u32 = 14;

#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    version: u32,
    /// 0 = the calling thread.
    pid: i32,
}

/// Of the version that has 64 capabilities, in two halves.
const HEADER: Header = Header {
    version: 0x2008_0522,
    pid: 0,
};

#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up every capability of the calling thread but the two above, as far as it has them.
pub(super) fn drop_all() -> io::Result<()> {
    let has = capabilities()?;
    let kept = has[0].permitted & (1 << CAP_DAC_OVERRIDE | 1 << CAP_IPC_LOCK);
    let left = Half {
        effective: kept,
        permitted: kept,
        inheritable: 0,
    };
    let left = [left, Half::default()];
    // Where there is nothing to give up, the call may be forbidden.
    if has == left {
        return Ok(());
    }
    // SAFETY: the kernel reads a header and two halves, as this version has them, which live through the call.
    let done = unsafe { libc::syscall(libc::SYS_capset, &HEADER, left.as_ptr()) };
    ended(done)
}

fn capabilities() -> io::Result<[Half; 2]> {
    let mut halves = [Half::default(); 2];
    // SAFETY: the kernel reads a header and writes two halves, as this version has them, which live through the
    // call. It writes to a header only where it does not know the version, and this one it knows since 2.6.26.
    let done = unsafe {
        let mut header = HEADER;
        libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr())
    };
    ended(done).map(|()| halves)
}

fn ended(done: libc::c_long) -> io::Result<()> {
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
