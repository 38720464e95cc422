//! The engine that makes two calls for a batch: one receives, and sleeps when there is nothing to
//! receive, the other sends. Nothing cheaper can be done with plain sockets.

use std::net::UdpSocket;

use super::Engine;
use super::replies::Replies;
use crate::sys::{Inbox, Outbox, Wait};

/// The longest request of BEP 15 has 1496 bytes.
const REQUEST_SLOT_LEN: usize = 2048;

pub(super) struct Mmsg {
    socket: UdpSocket,
    inbox: Inbox,
    outbox: Outbox,
    /// For every slot of the inbox its own, because all replies of a batch wait together.
    replies: Vec<Replies>,
}

impl Mmsg {
    pub(super) fn new(socket: UdpSocket, batch: usize, peers: usize, v6: bool) -> Self {
        Self {
            socket,
            inbox: Inbox::new(batch, REQUEST_SLOT_LEN),
            outbox: Outbox::new(false),
            replies: (0..batch).map(|_| Replies::new(peers, v6)).collect(),
        }
    }
}

impl Engine for Mmsg {
    fn turn(&mut self) -> Result<u64, String> {
        let count = self
            .inbox
            .receive(&self.socket, Wait::ForOne)
            .map_err(|error| format!("cannot receive: {error}"))?;
        let inbox = &self.inbox;
        let replies = self.replies[..count]
            .iter_mut()
            .enumerate()
            .map(|(slot, replies)| (slot, replies.answer(inbox.datagram(slot))))
            .filter(|(_, reply)| !reply.is_empty());
        let sent = self.outbox.answer(&self.socket, inbox, replies);
        Ok(sent.datagrams as u64)
    }
}
