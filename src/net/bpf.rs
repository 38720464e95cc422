//! What the programs of classic BPF are made of, and how a socket gets one. Needs no privilege.

use std::io;
use std::os::fd::RawFd;

use super::socket::set_option;

/// A step that jumps nowhere.
pub(super) fn step(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

/// A step that skips `jt` steps where its condition holds, and `jf` where not.
pub(super) fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

/// Gives a program to a socket, as the option of that name does.
pub(super) fn attach(
    socket: RawFd,
    option: i32,
    program: &mut [libc::sock_filter],
) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    set_option(socket, libc::SOL_SOCKET, option, &program)
}
