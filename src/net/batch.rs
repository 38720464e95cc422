//! Inbox and outbox: fixed memory in which a turn finds its datagrams and leaves its replies.

use std::cell::UnsafeCell;
use std::io;
use std::net::SocketAddr;

use super::Origin;
use super::addr::{CONTROL_LEN, Control, NAME_LEN, read_name, write_local, write_name};
use super::memory::Pages;
use crate::limits::{
    RECEIVE_SLOT_LEN, RECEIVE_SLOTS, REPLY_LEN_MAX, SEND_SLOTS, TURN_DATAGRAMS_MAX,
};

/// Bytes of a reply slot: a reply, rounded up so that no two replies share a cache line.
const REPLY_SLOT_LEN: usize = REPLY_LEN_MAX.next_multiple_of(64);

/// The datagrams of one turn, in slots that a backend fills.
///
/// A slot belongs to the kernel until it is filled, and again from `clear` on; bytes are only lent
/// out in between.
pub struct Inbox {
    slots: Pages,
    filled: Vec<Filled>,
}

struct Filled {
    slot: u16,
    start: u16,
    len: u16,
    truncated: bool,
    origin: Origin,
}

/// One datagram in the inbox.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The UDP payload.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub origin: Origin,
    /// True when it was longer than a slot, so that `bytes` is only its beginning.
    pub truncated: bool,
}

impl Inbox {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            slots: Pages::new(RECEIVE_SLOTS * RECEIVE_SLOT_LEN)?,
            filled: Vec::with_capacity(TURN_DATAGRAMS_MAX),
        })
    }

    /// The datagrams of this turn, in the order of their arrival.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.filled.iter().map(|filled| Datagram {
            bytes: &self.slot(filled.slot)[usize::from(filled.start)..][..usize::from(filled.len)],
            origin: filled.origin,
            truncated: filled.truncated,
        })
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled.len() == TURN_DATAGRAMS_MAX
    }

    pub(super) fn room(&self) -> usize {
        TURN_DATAGRAMS_MAX - self.filled.len()
    }

    /// Where the kernel may write slot `slot`.
    pub(super) fn slot_ptr(&self, slot: u16) -> *mut u8 {
        slot_ptr(&self.slots, slot)
    }

    /// The bytes of a slot that the kernel has filled and given back.
    pub(super) fn slot(&self, slot: u16) -> &[u8] {
        // SAFETY: the slot lies inside the mapping; mapped memory is initialised (zeroed at first), and
        // the backends call this only for slots that the kernel has finished writing and does not
        // own again before `clear`, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts(self.slot_ptr(slot), RECEIVE_SLOT_LEN) }
    }

    /// Notes that a datagram lies at `start..start + len` of `slot`.
    pub(super) fn fill(
        &mut self,
        slot: u16,
        start: usize,
        len: usize,
        truncated: bool,
        origin: Origin,
    ) {
        debug_assert!(start + len <= RECEIVE_SLOT_LEN);
        self.filled.push(Filled {
            slot,
            start: start as u16,
            len: len as u16,
            truncated,
            origin,
        });
    }

    /// Forgets the datagrams and names the slots that are free again, and where each may be written.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = (u16, *mut u8)> + '_ {
        let Self { slots, filled } = self;
        filled
            .drain(..)
            .map(|filled| (filled.slot, slot_ptr(slots, filled.slot)))
    }
}

fn slot_ptr(slots: &Pages, slot: u16) -> *mut u8 {
    assert!(
        usize::from(slot) < RECEIVE_SLOTS,
        "the kernel names only slots that it was given"
    );
    // SAFETY: the offset is inside the mapping, by the assertion.
    unsafe { slots.as_ptr().add(usize::from(slot) * RECEIVE_SLOT_LEN) }
}

/// The replies of one turn.
pub struct Outbox {
    bytes: Pages,
    /// Cells, as a reference to all of them at once must not claim what their pointers lead to.
    heads: Vec<UnsafeCell<Head>>,
    len: usize,
}

/// What the kernel wants to know about a reply. Headers point into their own `Head` and into the slot
/// bytes; both are allocated once and never move. A `Head` is written by `reply` alone.
pub(super) struct Head {
    pub(super) message: libc::msghdr,
    pub(super) listener: u8,
    part: libc::iovec,
    name: [u8; NAME_LEN],
    control: Control,
}

impl Outbox {
    pub(super) fn new() -> io::Result<Self> {
        let bytes = Pages::new(SEND_SLOTS * REPLY_SLOT_LEN)?;
        let heads = (0..SEND_SLOTS).map(|_| UnsafeCell::new(Head::new()));
        Ok(Self {
            bytes,
            heads: heads.collect(),
            len: 0,
        })
    }

    /// Answers `origin` with what `write` puts into the slot; `write` returns the reply's length, and
    /// so does this. The slot holds [`REPLY_LEN_MAX`] bytes. When the outbox is full, nothing is
    /// written and there is no length.
    pub fn reply(
        &mut self,
        origin: &Origin,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Option<usize> {
        let head = self.heads.get(self.len)?;
        // SAFETY: slot `len` lies inside the mapping, and `&mut self` means that nobody else has a
        // reference to it or to its head: the kernel is done with what was sent when the wait after
        // it has returned, before which no turn writes.
        let (head, slot) = unsafe {
            let start = self.bytes.as_ptr().add(self.len * REPLY_SLOT_LEN);
            let slot = std::slice::from_raw_parts_mut(start, REPLY_LEN_MAX);
            (&mut *head.get(), slot)
        };
        let len = write(slot);
        assert!(len <= REPLY_LEN_MAX, "a reply fits one unfragmented packet");
        head.address(origin, slot.as_mut_ptr(), len);
        self.len += 1;
        Some(len)
    }

    /// The replies, and to whom they go, read back from what the kernel is given.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.heads().filter_map(|head| {
            let to = read_name(&head.name[..head.message.msg_namelen as usize])?;
            Some((to, head.bytes()))
        })
    }

    /// True when no reply waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = &Head> {
        // SAFETY: heads are written only through `&mut self`.
        self.heads[..self.len]
            .iter()
            .map(|head| unsafe { &*head.get() })
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }
}

impl Head {
    fn new() -> Self {
        Self {
            // SAFETY: a msghdr of zeros is valid: null pointers with length 0.
            message: unsafe { std::mem::zeroed() },
            listener: 0,
            part: libc::iovec {
                iov_base: std::ptr::dangling_mut::<u8>().cast(),
                iov_len: 0,
            },
            name: [0; NAME_LEN],
            control: Control([0; CONTROL_LEN]),
        }
    }

    /// The reply itself.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the part is empty until `reply` has written it, and lies inside its slot from then on; slots
        // are written only through `&mut` to the outbox that has this head.
        unsafe {
            std::slice::from_raw_parts(self.part.iov_base.cast_const().cast(), self.part.iov_len)
        }
    }

    fn address(&mut self, origin: &Origin, start: *mut u8, len: usize) {
        let scope = match origin.peer {
            std::net::SocketAddr::V6(peer) => peer.scope_id(),
            std::net::SocketAddr::V4(_) => 0,
        };
        self.listener = origin.listener;
        self.part = libc::iovec {
            iov_base: start.cast(),
            iov_len: len,
        };
        self.message.msg_iov = &raw mut self.part;
        self.message.msg_iovlen = 1;
        self.message.msg_namelen = write_name(origin.peer, &mut self.name) as libc::socklen_t;
        self.message.msg_name = self.name.as_mut_ptr().cast();
        let control_len = write_local(origin.local, scope, &mut self.control.0);
        self.message.msg_controllen = control_len;
        self.message.msg_control = match control_len {
            0 => std::ptr::null_mut(),
            _ => self.control.0.as_mut_ptr().cast(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: usize) -> Origin {
        let peer: SocketAddr = match number % 2 {
            0 => format!("192.0.2.{}:{}", number % 256, 1000 + number),
            _ => format!("[2001:db8::{number:x}%0]:{}", 1000 + number),
        }
        .parse()
        .unwrap();
        let local = number.is_multiple_of(3).then(|| peer.ip());
        Origin {
            listener: (number % 5) as u8,
            peer,
            local,
        }
    }

    #[test]
    fn what_the_kernel_writes_into_slots_is_read_until_they_are_free_again() {
        let mut inbox = Inbox::new().unwrap();
        for round in 0..2_u8 {
            // Slots in the order in which a ring gives them, which is none.
            for number in 0..TURN_DATAGRAMS_MAX {
                let slot = (number * 7 % RECEIVE_SLOTS) as u16;
                let len = number % 50;
                let start = inbox.slot_ptr(slot);
                // SAFETY: as the kernel does: the slot is ours until it is filled, and 60 bytes fit.
                unsafe { start.write_bytes(round.wrapping_add(number as u8), 60) };
                inbox.fill(slot, 3, len, number == 9, origin(number));
            }
            assert!(inbox.is_full());
            for (number, datagram) in inbox.iter().enumerate() {
                assert_eq!(
                    datagram.bytes,
                    vec![round.wrapping_add(number as u8); number % 50]
                );
                assert_eq!(datagram.origin.peer, origin(number).peer);
                assert_eq!(datagram.truncated, number == 9);
            }
            assert_eq!(inbox.clear().count(), TURN_DATAGRAMS_MAX);
            assert_eq!(inbox.room(), TURN_DATAGRAMS_MAX);
        }
    }

    #[test]
    fn replies_go_to_whom_they_are_for_as_they_were_written_until_the_outbox_is_full() {
        let mut outbox = Outbox::new().unwrap();
        for round in 0..2_u8 {
            for number in 0..SEND_SLOTS {
                let len = outbox.reply(&origin(number), |slot| {
                    slot[..number % 90].fill(round.wrapping_add(number as u8));
                    number % 90
                });
                assert_eq!(len, Some(number % 90));
            }
            assert_eq!(outbox.reply(&origin(0), |_| unreachable!()), None);
            assert_eq!(outbox.iter().count(), SEND_SLOTS);
            for (number, (to, bytes)) in outbox.iter().enumerate() {
                assert_eq!(to, origin(number).peer);
                assert_eq!(bytes, vec![round.wrapping_add(number as u8); number % 90]);
            }
            // What a backend gives to the kernel points at the same.
            for (number, head) in outbox.heads().enumerate() {
                assert_eq!(head.listener, (number % 5) as u8);
                // SAFETY: `address` has written all three, and nothing has moved since.
                let (part, name) = unsafe {
                    let message = &head.message;
                    let name = message.msg_name.cast_const().cast::<u8>();
                    let name = std::slice::from_raw_parts(name, message.msg_namelen as usize);
                    (*message.msg_iov, name)
                };
                assert_eq!(part.iov_len, number % 90);
                assert_eq!(read_name(name), Some(origin(number).peer));
            }
            outbox.clear();
            assert!(outbox.is_empty());
        }
    }
}
