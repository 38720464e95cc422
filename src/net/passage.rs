//! A passage between two processes of this program, through which words go, and descriptors with them.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use socket2::{SockRef, Type};

/// Most bytes of a word.
pub const WORD_LEN_MAX: usize = 64 << 10;

/// One end. Each word arrives whole or not at all, in order.
#[derive(Debug)]
pub struct Passage(OwnedFd);

/// What came out of it.
#[derive(Debug)]
pub enum Passed {
    /// A word of so many bytes, which lies in the buffer, and a descriptor if one came with it.
    Word(usize, Option<OwnedFd>),
    /// Nothing within the patience.
    Nothing,
    /// The other end is gone.
    Gone,
}

impl Passage {
    /// A passage: our end, and the end for a child to have as its standard input.
    pub fn dig() -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(ours), theirs))
    }

    /// The end that this process has as its standard input, which is empty from now on. An error when that
    /// is something else.
    pub fn from_stdin() -> io::Result<Self> {
        let end = io::stdin().as_fd().try_clone_to_owned()?;
        if SockRef::from(&end).r#type()? != Type::SEQPACKET {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
        Ok(Self(end))
    }

    /// How long a word may take to come, and how long the other end may take to make room for one.
    pub fn set_patience(&self, coming: Duration, going: Duration) -> io::Result<()> {
        let socket = SockRef::from(&self.0);
        socket.set_read_timeout(Some(coming))?;
        socket.set_write_timeout(Some(going))
    }

    /// Sends a word of 1 to [`WORD_LEN_MAX`] bytes, in parts, and a descriptor with it.
    pub fn send(&self, parts: &[&[u8]], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let descriptors: Vec<RawFd> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = ControlMessage::ScmRights(&descriptors);
        let control = if descriptors.is_empty() {
            &[][..]
        } else {
            std::slice::from_ref(&rights)
        };
        loop {
            let flags = MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.0.as_raw_fd(), &parts, control, flags, None) {
                Err(nix::errno::Errno::EINTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }

    /// Waits for the next word.
    pub fn receive(&self, buffer: &mut [u8; WORD_LEN_MAX]) -> io::Result<Passed> {
        self.receive_with(buffer, MsgFlags::MSG_CMSG_CLOEXEC)
    }

    /// The next word, if it is there already.
    pub fn look(&self, buffer: &mut [u8; WORD_LEN_MAX]) -> io::Result<Passed> {
        self.receive_with(buffer, MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT)
    }

    fn receive_with(&self, buffer: &mut [u8; WORD_LEN_MAX], flags: MsgFlags) -> io::Result<Passed> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut control = nix::cmsg_space!([RawFd; 1]);
        let received = loop {
            match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => return Ok(Passed::Nothing),
                Err(nix::errno::Errno::ECONNRESET) => return Ok(Passed::Gone),
                received => break received?,
            }
        };
        let mut descriptor = None;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = message {
                for fd in descriptors {
                    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
                    descriptor = Some(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
        Ok(match received.bytes {
            // No word is empty.
            0 => Passed::Gone,
            len => Passed::Word(len, descriptor),
        })
    }
}

/// Closes what this process has inherited beside input, output and errors: connections of clients, which
/// libraries may leave open to children. To be called before anything is opened.
pub(crate) fn close_inherited() {
    // SAFETY: takes numbers alone; and as nothing has been opened yet, nobody has a descriptor that it
    // closes. A kernel without it (before Linux 5.9) leaves them open until this process ends.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32);
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn passage() -> (Passage, Passage) {
        let (ours, theirs) = Passage::dig().unwrap();
        (ours, Passage(theirs))
    }

    fn buffer() -> Box<[u8; WORD_LEN_MAX]> {
        vec![0; WORD_LEN_MAX].try_into().unwrap()
    }

    #[test]
    fn words_arrive_whole_and_in_order_and_the_end_is_told() {
        let (ours, theirs) = passage();
        let long = vec![7; WORD_LEN_MAX - 1];
        ours.send(&[b"a", &long], None).unwrap();
        ours.send(&[b"bc"], None).unwrap();
        drop(ours);
        let mut buffer = buffer();
        let first = theirs.receive(&mut buffer).unwrap();
        assert!(
            matches!(first, Passed::Word(WORD_LEN_MAX, None)),
            "{first:?}"
        );
        assert_eq!((buffer[0], &buffer[1..]), (b'a', &long[..]));
        let second = theirs.receive(&mut buffer).unwrap();
        assert!(matches!(second, Passed::Word(2, None)) && buffer[..2] == *b"bc");
        assert!(matches!(theirs.receive(&mut buffer).unwrap(), Passed::Gone));
        assert!(theirs.send(&[b"a"], None).is_err(), "and no signal ends us");
    }

    #[test]
    fn a_socket_that_was_passed_is_the_same_socket() {
        let (ours, theirs) = passage();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        ours.send(&[b"udp"], Some(socket.as_fd())).unwrap();
        drop(socket);
        let mut buffer = buffer();
        let Passed::Word(3, Some(passed)) = theirs.receive(&mut buffer).unwrap() else {
            panic!("a word and a descriptor");
        };
        let passed = UdpSocket::from(passed);
        assert_eq!(passed.local_addr().unwrap(), address);
        passed.send_to(b"x", address).unwrap();
        assert_eq!(passed.recv(&mut [0; 8]).unwrap(), 1);
    }

    #[test]
    fn who_waits_for_a_word_that_does_not_come_goes_on_in_time() {
        let (ours, theirs) = passage();
        let patience = Duration::from_millis(20);
        theirs.set_patience(patience, patience).unwrap();
        let mut buffer = buffer();
        assert!(matches!(theirs.look(&mut buffer).unwrap(), Passed::Nothing));
        assert!(matches!(
            theirs.receive(&mut buffer).unwrap(),
            Passed::Nothing
        ));
        drop(ours);
    }
}
