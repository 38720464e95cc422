//! The `io_uring` backend: one ring a core for all its sockets, its doorbell and its time.
//!
//! ```text
//!   kernel                                      core
//!   multishot recvmsg, one a socket  ------->   completions: "slot 17 holds a datagram for socket 1"
//!   ring of provided slots           <-------   slots given back at the start of a wait
//!   send, one a reply                <-------   submitted together with the next wait
//! ```
//!
//! A saturated turn is one system call: `io_uring_enter` takes the replies of the last turn, runs the
//! receives, and returns with what arrived. Deferred task run keeps all of that work on this
//! thread, inside that call.
//!
//! Sends carry `MSG_DONTWAIT`, so each is over, one way or the other, before the call returns; a send that
//! the kernel would have to wait for fails instead and is counted. That is what lets the outbox be
//! written again right after a wait, and why no completion is asked for when a send went well.
//!
//! The sockets and the doorbell are registered with the ring, which then need not look them up, and hold on to
//! them, for each request. A reply is sent by address where that is all it takes; only one that must leave from a
//! certain address of ours takes the longer way of `sendmsg`.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use io_uring::register::Restriction;
use io_uring::types::{BufRingEntry, CancelBuilder, Fixed, RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::Origin;
use super::addr::{CONTROL_LEN, NAME_LEN, read_local, read_name};
use super::batch::{Inbox, Outbox};
use super::doorbell::Doorbell;
use super::memory::Pages;
use crate::limits::{LISTENERS_MAX, RECEIVE_SLOT_LEN, RECEIVE_SLOTS, SEND_SLOTS};

/// What a completion belongs to: below this, the number of a listener.
const DOORBELL: u64 = 1 << 32;
const SEND: u64 = 2 << 32;

/// `IORING_REGISTER_FILES` and its opposite.
const REGISTER_FILES: u8 = 2;
const UNREGISTER_FILES: u8 = 3;

/// `IORING_REGISTER_SYNC_CANCEL`, of Linux 6.0.
const REGISTER_SYNC_CANCEL: u8 = 24;

/// A reply that cannot leave at once is lost; nobody waits for it.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// The only group of provided slots.
const SLOTS: u16 = 0;

/// Submissions of one turn: all its sends, and every receive and the doorbell armed anew.
const SUBMISSIONS: u32 = (SEND_SLOTS + LISTENERS_MAX + 1).next_power_of_two() as u32;

/// A completion for every slot that the kernel may fill, and for every send that fails.
const COMPLETIONS: u32 = (2 * (RECEIVE_SLOTS + SEND_SLOTS)).next_power_of_two() as u32;

/// How often what is not submitted is tried again before the core gives up.
const SUBMIT_ATTEMPTS: usize = 1000;

/// How long a ring that is dropped waits for its receives to be cancelled: they are within
/// microseconds.
const CANCEL_PATIENCE: Duration = Duration::from_millis(50);

pub(super) struct Ring {
    // Dropped before the memory that its receives name. The kernel writes into that only inside
    // `io_uring_enter`, called by this thread, so nothing is written once this is gone.
    uring: IoUring,
    slots: SlotRing,
    /// Tells the kernel how much room to leave for address and control data. Boxed: the kernel reads
    /// it when a receive is armed.
    layout: Box<libc::msghdr>,
    sockets: Vec<UdpSocket>,
    doorbell: Arc<Doorbell>,
    /// Which sockets have a receive under way.
    armed: Vec<bool>,
    held: bool,
    pub(super) send_failures: u64,
}

/// A ring that no socket uses yet: opening it is the step that a kernel without `io_uring`, a
/// container that forbids it, or too little locked memory makes fail.
pub struct OpenRing {
    uring: IoUring,
    slots: SlotRing,
}

impl OpenRing {
    /// Opens a ring for the calling thread, which alone may use it.
    pub fn new() -> io::Result<Self> {
        // The task run flag lets a submission that does not wait run the receives that are due; without
        // it a core with other work to do would be deaf.
        // Deferred task run is the youngest of what is asked for (Linux 6.1); a kernel that has it has
        // multishot recvmsg too.
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_r_disabled()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let slots = SlotRing::new(&uring)?;
        let submitter = uring.submitter();
        submitter.register_restrictions(&mut restrictions())?;
        submitter.register_enable_rings()?;
        Ok(Self { uring, slots })
    }
}

/// All that is ever asked of a ring. What is submitted to one passes no filter of system calls, so who gets
/// into the process should find nothing else in it.
fn restrictions() -> [Restriction; 9] {
    let flags = squeue::Flags::SKIP_SUCCESS | squeue::Flags::BUFFER_SELECT;
    [
        Restriction::sqe_op(opcode::RecvMsgMulti::CODE),
        Restriction::sqe_op(opcode::Send::CODE),
        Restriction::sqe_op(opcode::SendMsg::CODE),
        Restriction::sqe_op(opcode::PollAdd::CODE),
        Restriction::sqe_flags_allowed(flags.bits()),
        Restriction::sqe_flags_required(squeue::Flags::FIXED_FILE.bits()),
        Restriction::register_op(REGISTER_FILES),
        Restriction::register_op(UNREGISTER_FILES),
        Restriction::register_op(REGISTER_SYNC_CANCEL),
    ]
}

impl Ring {
    pub(super) fn new(
        open: OpenRing,
        sockets: Vec<UdpSocket>,
        doorbell: Arc<Doorbell>,
        inbox: &Inbox,
    ) -> io::Result<Self> {
        let OpenRing { uring, mut slots } = open;
        (0..RECEIVE_SLOTS as u16).for_each(|slot| slots.lend(slot, inbox.slot_ptr(slot)));
        slots.publish();
        let files: Vec<RawFd> = (sockets.iter().map(AsRawFd::as_raw_fd))
            .chain([doorbell.event().fd()])
            .collect();
        uring.submitter().register_files(&files)?;
        // SAFETY: a msghdr of zeros is valid: null pointers with length 0.
        let mut layout: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        layout.msg_namelen = NAME_LEN as libc::socklen_t;
        layout.msg_controllen = CONTROL_LEN;
        let mut ring = Self {
            uring,
            slots,
            layout,
            armed: vec![false; sockets.len()],
            sockets,
            doorbell,
            held: false,
            send_failures: 0,
        };
        for listener in 0..ring.sockets.len() {
            ring.arm_receive(listener)?;
        }
        ring.arm_doorbell()?;
        Ok(ring)
    }

    pub(super) fn wait(&mut self, timeout: Duration, inbox: &mut Inbox) -> io::Result<()> {
        self.give_back(inbox);
        // Completions that the last turn had no room for are work enough: then only submit.
        let waiting = !self.uring.completion().is_empty();
        let want = usize::from(!waiting && !timeout.is_zero());
        let timespec = Timespec::from(timeout);
        let args = SubmitArgs::new();
        let args = if want == 0 {
            args
        } else {
            args.timespec(&timespec)
        };
        self.submit(want, &args)?;
        // The outbox is written again after this, so everything must be on its way.
        self.submit_rest()
    }

    /// Submits what the kernel had no memory for.
    fn submit_rest(&mut self) -> io::Result<()> {
        for _ in 0..SUBMIT_ATTEMPTS {
            if self.uring.submission().is_empty() {
                return Ok(());
            }
            thread::yield_now();
            self.submit(0, &SubmitArgs::new())?;
        }
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn submit(&self, want: usize, args: &SubmitArgs<'_, '_>) -> io::Result<()> {
        match self.uring.submitter().submit_with_args(want, args) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Time passed, a signal came, or the kernel is short of memory for a moment.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn give_back(&mut self, inbox: &mut Inbox) {
        for (slot, at) in inbox.clear() {
            self.slots.lend(slot, at);
        }
        self.slots.publish();
    }

    pub(super) fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        while !inbox.is_full() {
            let Some(completion) = self.uring.completion().next() else {
                return Ok(());
            };
            match completion.user_data() {
                DOORBELL => {
                    self.doorbell.event().clear();
                    if !cqueue::more(completion.flags()) {
                        self.arm_doorbell()?;
                    }
                }
                SEND => self.send_failures += 1,
                listener => self.take_datagram(listener as usize, &completion, inbox)?,
            }
        }
        Ok(())
    }

    fn take_datagram(
        &mut self,
        listener: usize,
        completion: &cqueue::Entry,
        inbox: &mut Inbox,
    ) -> io::Result<()> {
        if let Some(slot) = cqueue::buffer_select(completion.flags()) {
            let filled = RecvMsgOut::parse(inbox.slot(slot), &self.layout)
                .ok()
                .and_then(|out| {
                    let origin = Origin {
                        listener: listener as u8,
                        peer: read_name(out.name_data())?,
                        local: read_local(out.control_data()),
                    };
                    let start =
                        out.payload_data().as_ptr() as usize - inbox.slot_ptr(slot) as usize;
                    Some((
                        start,
                        out.payload_data().len(),
                        out.is_payload_truncated(),
                        origin,
                    ))
                });
            if let Some((start, len, truncated, origin)) = filled {
                inbox.fill(slot, start, len, truncated, origin);
            } else {
                // Not from an internet socket: the slot goes straight back.
                self.slots.lend(slot, inbox.slot_ptr(slot));
                self.slots.publish();
            }
        }
        // Who cancels is we.
        let transient = [
            libc::ENOBUFS,
            libc::ENOMEM,
            libc::EAGAIN,
            libc::EINTR,
            libc::ECANCELED,
        ];
        if completion.result() < 0 && !transient.contains(&-completion.result()) {
            return Err(io::Error::from_raw_os_error(-completion.result()));
        }
        // The kernel ends a multishot receive when it runs out of slots or space for completions, or on
        // an error of the socket; every slot is back by the time the receive is submitted again.
        if cqueue::more(completion.flags()) {
            return Ok(());
        }
        self.armed[listener] = false;
        if self.held {
            Ok(())
        } else {
            self.arm_receive(listener)
        }
    }

    pub(super) fn send(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        for head in outbox.heads() {
            let socket = Fixed(u32::from(head.listener));
            let entry = if head.message.msg_controllen == 0 {
                let bytes = head.bytes();
                opcode::Send::new(socket, bytes.as_ptr(), bytes.len() as u32)
                    .dest_addr(head.message.msg_name.cast_const().cast())
                    .dest_addr_len(head.message.msg_namelen)
                    .flags(SEND_FLAGS)
                    .build()
            } else {
                opcode::SendMsg::new(socket, &raw const head.message)
                    .flags(SEND_FLAGS as u32)
                    .build()
            };
            let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(SEND);
            self.push(&entry)?;
        }
        outbox.clear();
        Ok(())
    }

    fn arm_receive(&mut self, listener: usize) -> io::Result<()> {
        let socket = Fixed(listener as u32);
        let layout: *const libc::msghdr = &raw const *self.layout;
        let entry = opcode::RecvMsgMulti::new(socket, layout, SLOTS).build();
        self.armed[listener] = true;
        self.push(&entry.user_data(listener as u64))
    }

    pub(super) fn sockets(&self) -> &[UdpSocket] {
        &self.sockets
    }

    /// Cancels the receives, or submits them again. What a receive has brought before its end comes with
    /// the next turns.
    pub(super) fn hold(&mut self, held: bool) -> io::Result<()> {
        self.held = held;
        // What waits to be submitted could not be cancelled.
        self.submit_rest()?;
        for listener in 0..self.sockets.len() {
            match (held, self.armed[listener]) {
                (true, true) => {
                    // One that has just ended by itself is not found; is_quiet tells who is left.
                    let receive = CancelBuilder::user_data(listener as u64);
                    let timespec = Timespec::from(CANCEL_PATIENCE);
                    let submitter = self.uring.submitter();
                    let _ = submitter.register_sync_cancel(Some(timespec), receive);
                }
                (false, false) => self.arm_receive(listener)?,
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn is_quiet(&mut self) -> bool {
        self.held && !self.armed.contains(&true) && self.uring.completion().is_empty()
    }

    fn arm_doorbell(&mut self) -> io::Result<()> {
        let doorbell = Fixed(self.sockets.len() as u32);
        let poll = opcode::PollAdd::new(doorbell, libc::POLLIN as u32).multi(true);
        self.push(&poll.build().user_data(DOORBELL))
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entry points to lives as long as the ring: the layout is boxed beside it, and
        // reply headers belong to an outbox that `Net` drops after the backend. Replies are
        // not written again before the wait that submits them has returned.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            self.uring.submit()?;
        }
        Ok(())
    }
}

impl Drop for Ring {
    /// Lets go of the sockets before the ring is closed. The kernel takes a closed ring apart in its
    /// own time, and until then a tracker that is started anew would find its port taken.
    fn drop(&mut self) {
        let timespec = Timespec::from(CANCEL_PATIENCE);
        // On an error the kernel cleans up as it would have without us, only later.
        let _ = self
            .uring
            .submitter()
            .register_sync_cancel(Some(timespec), CancelBuilder::any());
        let mut armed = self.armed.iter().filter(|armed| **armed).count() + 1;
        while armed > 0 {
            let args = SubmitArgs::new().timespec(&timespec);
            if self.uring.submitter().submit_with_args(1, &args).is_err() {
                break;
            }
            let ended = |completion: &cqueue::Entry| {
                completion.user_data() != SEND && !cqueue::more(completion.flags())
            };
            armed = armed.saturating_sub(self.uring.completion().filter(ended).count());
        }
        // Nothing uses them any more; that they are let go of right now is what matters here.
        let _ = self.uring.submitter().unregister_files();
    }
}

/// The ring of slots that the kernel may receive into. Slots are lent one by one and published
/// together.
struct SlotRing {
    pages: Pages,
    tail: u16,
}

impl SlotRing {
    fn new(uring: &IoUring) -> io::Result<Self> {
        let pages = Pages::new(RECEIVE_SLOTS * size_of::<BufRingEntry>())?;
        // SAFETY: the pages are page-aligned, hold RECEIVE_SLOTS entries, and stay mapped until after
        // the ring is closed: `Ring` declares the ring before them.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(
                pages.as_ptr() as u64,
                RECEIVE_SLOTS as u16,
                SLOTS,
                0,
            )?;
        }
        Ok(Self { pages, tail: 0 })
    }

    fn lend(&mut self, slot: u16, at: *mut u8) {
        let position = usize::from(self.tail) % RECEIVE_SLOTS;
        // SAFETY: the position is below RECEIVE_SLOTS, so inside the pages, and the kernel does not read
        // an entry before the tail is published past it. No more slots exist than entries.
        let entry = unsafe { &mut *self.first().add(position) };
        entry.set_addr(at as u64);
        entry.set_len(RECEIVE_SLOT_LEN as u32);
        entry.set_bid(slot);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // SAFETY: the pages begin with the first entry, whose last field is the ring's tail; it is
        // two-byte aligned, and only this thread writes it.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.first());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }

    #[allow(
        clippy::cast_ptr_alignment,
        reason = "pages are aligned to more than any entry"
    )]
    fn first(&self) -> *mut BufRingEntry {
        self.pages.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::Net;
    use crate::net::socket::{SocketOptions, bind};

    #[test]
    fn a_core_that_never_sleeps_still_hears() {
        let options = SocketOptions {
            cores: 1,
            receive_buffer: 0,
            steering: None,
        };
        let listener = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        let address = listener.address;
        let doorbell = Arc::new(Doorbell::new().unwrap());
        let ring = OpenRing::new().unwrap();
        let mut net = Net::new(Some(ring), listener.sockets, doorbell).unwrap();
        net.wait(Duration::from_millis(1)).unwrap();
        net.receive().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"hello", address).unwrap();
        let heard = (0..1000).any(|_| {
            net.wait(Duration::ZERO).unwrap();
            net.receive().unwrap();
            net.boxes()
                .0
                .iter()
                .any(|datagram| datagram.bytes == b"hello")
        });
        assert!(heard, "deaf for a thousand turns");
    }
}
