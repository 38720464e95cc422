//! The sockets and the lock that go from one process to the next: taken over from the one before, where
//! there was one, and kept for the one after.

use std::fmt::Display;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use socket2::Socket;

/// What a descriptor is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::boot) enum Kind {
    Udp,
    Http,
    Control,
    /// The lock on the folder of the store.
    Store,
}

/// A descriptor, and what the configuration calls it.
pub(in crate::boot) struct Heirloom {
    pub(in crate::boot) kind: Kind,
    pub(in crate::boot) name: String,
    pub(in crate::boot) descriptor: OwnedFd,
}

/// What was taken over and is not in use yet, and what is in use and goes to the next one.
#[derive(Default)]
pub(in crate::boot) struct Estate {
    inherited: Vec<Heirloom>,
    kept: Vec<Heirloom>,
}

impl Estate {
    pub(super) fn of(inherited: Vec<Heirloom>) -> Self {
        Self {
            inherited,
            kept: Vec::new(),
        }
    }

    /// Takes all that has this name, in the order of the one before.
    pub(in crate::boot) fn take(&mut self, kind: Kind, name: &impl Display) -> Vec<OwnedFd> {
        let name = name.to_string();
        self.take_if(|heirloom| heirloom.kind == kind && heirloom.name == name)
    }

    /// Takes the sockets of the listener that was called this, or is bound there under another name.
    pub(in crate::boot) fn take_bound(&mut self, kind: Kind, listen: SocketAddr) -> Vec<OwnedFd> {
        let name = listen.to_string();
        let mut heirlooms = self.inherited.iter();
        let named = heirlooms.find(|heirloom| heirloom.kind == kind && heirloom.name == name);
        // With port 0 several may be called this.
        let bound = named.and_then(Heirloom::bound_to).unwrap_or(listen);
        self.take_if(|heirloom| heirloom.kind == kind && heirloom.bound_to() == Some(bound))
    }

    fn take_if(&mut self, is_wanted: impl Fn(&Heirloom) -> bool) -> Vec<OwnedFd> {
        let wanted = self
            .inherited
            .extract_if(.., |heirloom| is_wanted(heirloom));
        wanted.map(|heirloom| heirloom.descriptor).collect()
    }

    /// Keeps a descriptor for the next one. One that cannot be kept, for lack of open files, is missing then,
    /// and the next one binds anew or says why it cannot.
    pub(in crate::boot) fn keep(&mut self, kind: Kind, name: &impl Display, of: &impl AsFd) {
        if let Ok(descriptor) = of.as_fd().try_clone_to_owned() {
            self.kept.push(Heirloom {
                kind,
                name: name.to_string(),
                descriptor,
            });
        }
    }

    /// What goes to the next one. What nobody has taken is closed here.
    pub(in crate::boot) fn into_kept(self) -> Arc<[Heirloom]> {
        self.kept.into()
    }
}

impl Heirloom {
    /// Where a socket is bound.
    fn bound_to(&self) -> Option<SocketAddr> {
        let copy = self.descriptor.try_clone().ok()?;
        match self.kind {
            Kind::Udp | Kind::Http | Kind::Control => {
                Socket::from(copy).local_addr().ok()?.as_socket()
            }
            Kind::Store => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn sockets_are_found_by_name_or_else_by_address_and_once() {
        let sockets = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut old = Estate::default();
        let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
        for socket in &sockets {
            old.keep(Kind::Udp, &any_port, socket);
        }
        let Some(kept) = Arc::into_inner(Arc::new(old.kept)) else {
            panic!("nobody else has it");
        };
        let mut new = Estate::of(kept);
        let second = sockets[1].local_addr().unwrap();
        assert!(new.take(Kind::Http, &any_port).is_empty());
        assert_eq!(new.take_bound(Kind::Udp, second).len(), 1);
        for socket in [&sockets[0], &sockets[2]] {
            let taken = new.take_bound(Kind::Udp, any_port);
            let bound = taken
                .into_iter()
                .map(|fd| UdpSocket::from(fd).local_addr().unwrap());
            assert_eq!(bound.collect::<Vec<_>>(), [socket.local_addr().unwrap()]);
        }
        assert!(new.take_bound(Kind::Udp, any_port).is_empty());
    }
}
