//! Binding every UDP listener of the configuration.

use std::net::{SocketAddr, UdpSocket};

use log::warn;
use socket2::Socket;

use super::takeover::{Estate, Kind};
use crate::config::Config;
use crate::net::port_owner;
use crate::net::socket::{self, Listener, SocketOptions};
use crate::net::steering::Steering;
use crate::net::tcp::{self, TcpListener};

/// Binds a TCP listener, or takes it over from a process before this one. The error is a sentence.
pub(super) fn bind_tcp(
    kind: Kind,
    listen: SocketAddr,
    threads: usize,
    patience_s: u32,
    estate: &mut Estate,
) -> Result<TcpListener, String> {
    let inherited = estate.take_bound(kind, listen);
    if inherited.is_empty() {
        tcp::bind(listen, threads, patience_s)
    } else {
        let inherited = inherited.into_iter().map(Socket::from);
        tcp::adopt(inherited.collect(), threads, patience_s)
    }
}

/// Binds all listeners or none; those of a process before this one are taken over. A default listener whose
/// address family the host lacks is left out.
pub(super) fn bind(
    config: &Config,
    cores: usize,
    steering: Steering,
    estate: &mut Estate,
) -> Result<Vec<Listener>, String> {
    let wanted = usize::try_from(config.workers.receive_buffer).unwrap_or(usize::MAX);
    let options = SocketOptions {
        cores,
        receive_buffer: wanted,
        steering: (config.workers.steering && cores > 1).then_some(steering),
    };
    let mut bound: Vec<Listener> = Vec::new();
    for listener in &config.udp {
        let addresses: Vec<SocketAddr> = bound.iter().map(|bound| bound.address).collect();
        refuse_covered("udp", listener.listen, &addresses)?;
        let inherited = estate.take_bound(Kind::Udp, listener.listen);
        let sockets = if inherited.is_empty() {
            socket::bind(listener.listen, &options)
        } else {
            let inherited = inherited.into_iter().map(UdpSocket::from);
            socket::adopt(inherited.collect(), &options)
        };
        match sockets {
            Ok(listening) => {
                for socket in &listening.sockets {
                    estate.keep(Kind::Udp, &listener.listen, socket);
                }
                bound.push(listening);
            }
            Err(sentence) if !listener.required && lacks_family(listener.listen) => {
                warn!("{sentence}; going on without it");
            }
            Err(sentence) => return Err(sentence),
        }
    }
    if bound.is_empty() {
        return Ok(bound);
    }
    // The kernel reports twice what it was asked for: its own bookkeeping counts too.
    let granted = bound
        .iter()
        .map(|l| l.receive_buffer / 2)
        .min()
        .unwrap_or(wanted);
    if granted < wanted {
        warn!(
            "sockets queue {granted} bytes instead of workers.receive_buffer = {wanted}: \
             raise the sysctl net.core.rmem_max or give the process CAP_NET_ADMIN"
        );
    }
    Ok(bound)
}

/// Refuses an address of which one that is bound already takes everything.
pub(super) fn refuse_covered(
    section: &str,
    listen: SocketAddr,
    bound: &[SocketAddr],
) -> Result<(), String> {
    // Ours hold one family each, so `[::]` does not keep us from `0.0.0.0`.
    let covers = |bound: &&SocketAddr| {
        bound.is_ipv4() == listen.is_ipv4() && port_owner::collide(**bound, listen)
    };
    match bound.iter().find(covers) {
        None => Ok(()),
        Some(earlier) => Err(format!(
            "cannot listen on {section}://{listen}: the [[{section}]] listener on {earlier} already \
             covers it; remove one"
        )),
    }
}

/// True when binding failed only because the host lacks the address family.
pub(super) fn lacks_family(address: SocketAddr) -> bool {
    socket::lacks_family(address)
}
