//! Binding every listener of the configuration.

use log::warn;

use crate::config::Config;
use crate::net::port_owner;
use crate::net::socket::{self, Listener, SocketOptions};
use crate::net::steering::Steering;

/// Binds all listeners or none. A default listener whose address family the host lacks is left out.
pub(super) fn bind(
    config: &Config,
    cores: usize,
    steering: Steering,
) -> Result<Vec<Listener>, String> {
    let wanted = usize::try_from(config.workers.receive_buffer).unwrap_or(usize::MAX);
    let options = SocketOptions {
        cores,
        receive_buffer: wanted,
        steering: (config.workers.steering && cores > 1).then_some(steering),
    };
    let mut bound: Vec<Listener> = Vec::new();
    for listener in &config.udp {
        // Ours hold one family each, so `[::]` does not keep us from `0.0.0.0`.
        let covers = |bound: &&Listener| {
            bound.address.is_ipv4() == listener.listen.is_ipv4()
                && port_owner::collide(bound.address, listener.listen)
        };
        if let Some(earlier) = bound.iter().find(covers) {
            return Err(format!(
                "cannot listen on udp://{}: the [[udp]] listener on {} already covers it; remove one",
                listener.listen, earlier.address
            ));
        }
        match socket::bind(listener.listen, &options) {
            Ok(sockets) => bound.push(sockets),
            Err(sentence) if !listener.required && socket::lacks_family(listener.listen) => {
                warn!("{sentence}; going on without it");
            }
            Err(sentence) => return Err(sentence),
        }
    }
    // The kernel reports twice what it was asked for: its own bookkeeping counts too.
    let granted = bound
        .iter()
        .map(|l| l.receive_buffer / 2)
        .min()
        .ok_or("no listener is left")?;
    if granted < wanted {
        warn!(
            "sockets queue {granted} bytes instead of workers.receive_buffer = {wanted}: \
             raise the sysctl net.core.rmem_max or give the process CAP_NET_ADMIN"
        );
    }
    Ok(bound)
}
