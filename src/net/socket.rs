//! Binding UDP: one socket a core for each listener, every option with its reason.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::port_owner::{self, PortOwner, Transport};
use super::sieve;
use super::steering::Steering;

/// How often, and how long apart, a port that nobody seems to hold is tried: three seconds in all.
const NOBODYS_PORT_ATTEMPTS: u32 = 60;
const NOBODYS_PORT_PAUSE: Duration = Duration::from_millis(50);

/// What all sockets share.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// How many cores, and so sockets a listener.
    pub cores: usize,
    /// Bytes that the kernel should be ready to queue for each socket; 0 = what it gives unasked.
    pub receive_buffer: usize,
    /// How the kernel is to choose a core, where it shall.
    pub steering: Option<Steering>,
}

/// The sockets of one listener, in the order of the cores.
#[derive(Debug)]
pub struct Listener {
    /// Where they are bound; the port is the real one.
    pub address: SocketAddr,
    /// One a core.
    pub sockets: Vec<UdpSocket>,
    /// Bytes that the kernel agreed to queue for each socket.
    pub receive_buffer: usize,
}

/// Binds one listener. The error is a sentence.
pub fn bind(address: SocketAddr, options: &SocketOptions) -> Result<Listener, String> {
    let first = bind_patiently(Transport::Udp, address, || bind_first(address, options))?;
    bind_others(first, options)
        .map_err(|error| format!("cannot listen on udp://{address}: {error}"))
}

/// Takes over the sockets of a listener that another process has bound, in the order of its cores. Those
/// that are missing for our cores are bound beside them; those that are too many are left to the
/// other process. The steering program stays what it is: see [`steer`]. The error is a sentence.
pub fn adopt(sockets: Vec<UdpSocket>, options: &SocketOptions) -> Result<Listener, String> {
    let mut sockets = sockets.into_iter().map(Socket::from);
    let first = sockets.next().ok_or("there is no socket to take over")?;
    let unknown = || io::Error::other("the kernel does not say where it is bound");
    let adopted = || -> io::Result<Listener> {
        let address = first.local_addr()?.as_socket().ok_or_else(unknown)?;
        let mut all = vec![first];
        all.extend(sockets.take(options.cores.saturating_sub(1)));
        for socket in &all {
            set_receive_buffer(socket, options)?;
            // Should the process before us have left one.
            sieve::detach(socket.as_raw_fd())?;
        }
        let receive_buffer = all[0].recv_buffer_size()?;
        bind_beside(&mut all, address, options)?;
        Ok(Listener {
            address,
            sockets: all.into_iter().map(UdpSocket::from).collect(),
            receive_buffer,
        })
    };
    adopted().map_err(|error| format!("cannot take over a UDP socket: {error}"))
}

/// Has the kernel give what arrives at the group of this socket to its cores by another rule, from now on.
pub fn steer(socket: &UdpSocket, steering: Steering) -> io::Result<()> {
    steering.attach(socket.as_raw_fd())
}

/// Binds again and again while the port is taken by no process: the kernel needs a moment to take apart
/// the rings of a tracker that was killed. The error is a sentence.
pub(super) fn bind_patiently<S>(
    transport: Transport,
    address: SocketAddr,
    bind: impl Fn() -> io::Result<S>,
) -> Result<S, String> {
    let mut attempts = 0;
    loop {
        let error = match bind() {
            Ok(bound) => return Ok(bound),
            Err(error) => error,
        };
        // Asked once a try: the kernel's tables now and then leave out what stands in them.
        let is_taken = error.kind() == io::ErrorKind::AddrInUse;
        let owner = is_taken
            .then(|| port_owner::of(transport, address))
            .flatten();
        if !is_taken || owner.is_some() || attempts == NOBODYS_PORT_ATTEMPTS {
            return Err(explain(transport, address, &error, owner.as_ref()));
        }
        attempts += 1;
        thread::sleep(NOBODYS_PORT_PAUSE);
    }
}

/// The first socket is bound without `SO_REUSEPORT`: the kernel then refuses when anybody holds the port,
/// even another Shoal, which would otherwise take half of our traffic without a word. Once the
/// port is ours, the option opens it to our other cores.
fn bind_first(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = open(address, options)?;
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    Ok(socket)
}

fn bind_others(first: Socket, options: &SocketOptions) -> io::Result<Listener> {
    let unknown = || io::Error::other("the kernel does not say where it bound the socket");
    let address = first.local_addr()?.as_socket().ok_or_else(unknown)?;
    let receive_buffer = first.recv_buffer_size()?;
    let mut sockets = vec![first];
    bind_beside(&mut sockets, address, options)?;
    if let (Some(steering), [.., last]) = (options.steering, sockets.as_slice()) {
        steering.attach(last.as_raw_fd())?;
    }
    let sockets = sockets.into_iter().map(UdpSocket::from).collect();
    Ok(Listener {
        address,
        sockets,
        receive_buffer,
    })
}

/// Binds those that are missing for all cores. The steering program answers with a position in the order of
/// binding.
fn bind_beside(
    sockets: &mut Vec<Socket>,
    address: SocketAddr,
    options: &SocketOptions,
) -> io::Result<()> {
    while sockets.len() < options.cores {
        let socket = open(address, options)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        sockets.push(socket);
    }
    Ok(())
}

fn open(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    let fd = socket.as_raw_fd();
    if address.is_ipv6() {
        // IPv4 has sockets of its own: one family a socket means one size of peer a socket.
        socket.set_only_v6(true)?;
    } else {
        // No "don't fragment", and no belief in path MTUs that anybody may forge by ICMP: replies fit
        // 1280 bytes as it is.
        set_option(
            fd,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            &libc::IP_PMTUDISC_OMIT,
        )?;
    }
    if address.ip().is_unspecified() {
        // Tells which of our addresses was asked, so that the reply leaves from it: clients drop
        // replies from any other. A socket bound to one address knows without.
        let (level, option) = match address {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        };
        set_option(fd, level, option, &1_i32)?;
    }
    set_receive_buffer(&socket, options)?;
    Ok(socket)
}

fn set_receive_buffer(socket: &Socket, options: &SocketOptions) -> io::Result<()> {
    if options.receive_buffer == 0 {
        return Ok(());
    }
    // More than rmem_max takes CAP_NET_ADMIN; without it the kernel gives what it may.
    let bytes = i32::try_from(options.receive_buffer).unwrap_or(i32::MAX);
    let fd = socket.as_raw_fd();
    if set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes).is_err() {
        socket.set_recv_buffer_size(options.receive_buffer)?;
    }
    Ok(())
}

/// Datagrams that the kernel has dropped at this socket, mod 2^32.
pub(super) fn kernel_drops(socket: &UdpSocket) -> io::Result<u32> {
    /// From Linux 4.12 on; its number is this one on every processor that Shoal is built for.
    const SO_MEMINFO: libc::c_int = 55;
    /// What it tells; the drops are the last of it.
    const VARS: usize = libc::SK_MEMINFO_DROPS as usize + 1;
    let mut told = [0_u32; VARS];
    let mut len = size_of_val(&told) as libc::socklen_t;
    // SAFETY: pointer and length describe `told`, which lives through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            told.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        Ok(told[VARS - 1])
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets an option that no library names.
pub(super) fn set_option<T>(fd: RawFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`, which lives through the call.
    let result = unsafe {
        let len = size_of::<T>() as libc::socklen_t;
        libc::setsockopt(fd, level, option, std::ptr::from_ref(value).cast(), len)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// One sentence on why an address could not be bound, and what to do.
fn explain(
    transport: Transport,
    address: SocketAddr,
    error: &io::Error,
    owner: Option<&PortOwner>,
) -> String {
    let (scheme, ss) = match transport {
        Transport::Udp => ("udp", "-ulpn"),
        Transport::Tcp => ("tcp", "-tlpn"),
    };
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => match owner {
            Some(owner) => format!("the port is held by {owner}; stop it or choose another port"),
            None => format!("another process holds the port; `ss {ss}` as root names it"),
        },
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this host has that address".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot listen on {scheme}://{address}: {why}")
}

/// True when binding failed only because the host lacks the address family.
pub fn lacks_family(address: SocketAddr) -> bool {
    match Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    ) {
        Err(_) => true,
        Ok(probe) => {
            let any_port = SocketAddr::new(address.ip(), 0);
            probe.bind(&any_port.into()).is_err()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(cores: usize) -> SocketOptions {
        SocketOptions {
            cores,
            receive_buffer: 1 << 20,
            steering: None,
        }
    }

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn all_cores_share_the_port_that_the_kernel_chose() {
        let listener = bind(any_port(), &options(3)).unwrap();
        assert_eq!(listener.sockets.len(), 3);
        for socket in &listener.sockets {
            assert_eq!(socket.local_addr().unwrap(), listener.address);
        }
    }

    #[test]
    fn a_port_that_shoal_shares_among_its_cores_is_closed_to_a_second_shoal() {
        let first = bind(any_port(), &options(2)).unwrap();
        let refusal = bind(first.address, &options(2)).unwrap_err();
        let pid = std::process::id();
        assert!(refusal.contains(&format!("pid {pid}")), "{refusal}");
    }

    #[test]
    fn sockets_that_are_taken_over_stay_in_their_order_and_others_join_them() {
        let old = bind(any_port(), &options(2)).unwrap();
        for cores in 1..=3 {
            let copies = old.sockets.iter().map(|socket| socket.try_clone().unwrap());
            let new = adopt(copies.collect(), &options(cores)).unwrap();
            assert_eq!((new.address, new.sockets.len()), (old.address, cores));
            for (ours, theirs) in new.sockets.iter().zip(&old.sockets) {
                assert_eq!(port_owner::inode_of(ours), port_owner::inode_of(theirs));
            }
            for socket in &new.sockets {
                assert_eq!(socket.local_addr().unwrap(), old.address);
            }
        }
    }

    #[test]
    fn an_address_of_another_host_is_refused_with_a_sentence() {
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 6969));
        let refusal = bind(elsewhere, &options(1)).unwrap_err();
        assert!(
            refusal.contains("no interface of this host has that address"),
            "{refusal}"
        );
    }
}
