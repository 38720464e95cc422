//! Binding TCP and Unix sockets for the HTTP threads, every option with its reason.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::port_owner::Transport;
use super::socket::{bind_patiently, set_option};

/// Connections that may wait to be accepted; the kernel's `net.core.somaxconn` caps it.
const BACKLOG: i32 = 4096;

/// The rights to a Unix socket: to connect takes the right to write.
const EVERYBODY: Mode = Mode::from_bits_truncate(0o666);

/// The sockets of one listener, in the order of the threads.
#[derive(Debug)]
pub struct TcpListener {
    /// Where they are bound; the port is the real one.
    pub address: SocketAddr,
    /// One a thread.
    pub sockets: Vec<Socket>,
}

/// Binds one listener for `threads` threads; the kernel spreads connections over them. A client that
/// connects and says nothing for `patience_s` is the kernel's business only. The error is a sentence.
pub fn bind(address: SocketAddr, threads: usize, patience_s: u32) -> Result<TcpListener, String> {
    let first = bind_patiently(Transport::Tcp, address, || {
        // As for UDP: without SO_REUSEPORT, so that a port in use is refused even to another Shoal.
        let socket = open(address, patience_s)?;
        socket.bind(&address.into())?;
        socket.set_reuse_port(true)?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    })?;
    bind_others(first, threads, patience_s)
        .map_err(|error| format!("cannot listen on tcp://{address}: {error}"))
}

fn bind_others(first: Socket, threads: usize, patience_s: u32) -> io::Result<TcpListener> {
    let unknown = || io::Error::other("the kernel does not say where it bound the socket");
    let address = first.local_addr()?.as_socket().ok_or_else(unknown)?;
    let mut sockets = vec![first];
    for _ in 1..threads {
        let socket = open(address, patience_s)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        sockets.push(socket);
    }
    Ok(TcpListener { address, sockets })
}

/// Takes over the sockets of a listener that another process has bound. Those that are missing for our
/// threads are bound beside them; all are to be served, since the kernel gives connections to
/// all. The error is a sentence.
pub fn adopt(sockets: Vec<Socket>, threads: usize, patience_s: u32) -> Result<TcpListener, String> {
    let mut sockets = sockets.into_iter();
    let first = sockets.next().ok_or("there is no socket to take over")?;
    let adopted = bind_others(first, threads.saturating_sub(sockets.len()), patience_s);
    let mut listener =
        adopted.map_err(|error| format!("cannot take over a TCP socket: {error}"))?;
    listener.sockets.splice(1..1, sockets);
    Ok(listener)
}

/// Takes over the Unix socket that another process has bound to `path`, and its file.
pub fn adopt_unix(socket: Socket, path: &Path) -> Result<UnixListener, String> {
    let file = SocketFile::at(path)
        .map_err(|error| format!("cannot take over unix:{}: {error}", path.display()))?;
    Ok(UnixListener { socket, file })
}

fn open(address: SocketAddr, patience_s: u32) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of the last run linger in the kernel; they must not keep a restart from the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections inherit it: a reply is one write, and nothing follows that it should wait for.
    socket.set_tcp_nodelay(true)?;
    let patience = i32::try_from(patience_s).unwrap_or(i32::MAX);
    let fd = socket.as_raw_fd();
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &patience)?;
    Ok(socket)
}

/// A bound Unix socket. Dropping it removes its file.
#[derive(Debug)]
pub struct UnixListener {
    /// The socket; taken by the thread that accepts.
    pub socket: Socket,
    /// Removes the file in the end.
    pub file: SocketFile,
}

/// The file of a Unix socket; goes when this does, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    mark: Mark,
}

/// Which file it is. Numbers of inodes are given out again, so its first time belongs to it: whoever
/// changes its owner or its rights leaves that alone.
type Mark = (u64, u64, i64, i64);

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let mark = mark_of(&path)?;
        Ok(Self { path, mark })
    }

    /// Leaves the file to another process.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

fn mark_of(path: &Path) -> io::Result<Mark> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A tracker that was started while this one still ended has put its own there.
        if mark_of(&self.path).is_ok_and(|mark| mark == self.mark) {
            // Without the right to remove it, it stays: the next start sees that nobody listens there.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to a Unix socket without waiting for whoever listens there.
fn knock(path: &Path) -> nix::Result<()> {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    connect().map_err(|error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

/// Binds a Unix socket that every process of this host may connect to. The file of a tracker that was
/// killed is replaced, that of one that lives is not. The error is a sentence.
pub fn bind_unix(path: &Path) -> Result<UnixListener, String> {
    let refuse = |why: String| format!("cannot listen on unix:{}: {why}", path.display());
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refuse(error.to_string())),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(refuse("a file that is no socket stands there".to_owned()));
        }
        Ok(_) => match knock(path) {
            // EAGAIN says that somebody listens before whom others wait already.
            Ok(()) | Err(Errno::EAGAIN | Errno::EINPROGRESS) => {
                return Err(refuse(
                    "another process listens there; stop it or choose another path".to_owned(),
                ));
            }
            // Only this says that nobody listens; a socket that we may not use or that takes
            // datagrams is somebody's.
            Err(Errno::ECONNREFUSED) => {
                fs::remove_file(path).map_err(|error| {
                    refuse(format!("the old socket cannot be removed: {error}"))
                })?;
            }
            Err(error) => {
                return Err(refuse(format!(
                    "a socket of another process stands there ({}); choose another path",
                    error.desc()
                )));
            }
        },
    }
    let bind = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Like a port on loopback. Whoever wants fewer puts it into a folder that fewer may enter.
        // Not through a link: whoever the folder belongs to might have put one there since.
        fchmodat(AT_FDCWD, path, EVERYBODY, FchmodatFlags::NoFollowSymlink)?;
        socket.listen(BACKLOG)?;
        let file = SocketFile::at(path)?;
        Ok(UnixListener { socket, file })
    };
    bind().map_err(|error: io::Error| {
        refuse(format!(
            "{error}; make its folder, let the tracker write there, or choose another path"
        ))
    })
}

/// Whether a connection that cannot be accepted is its client's own affair: it is gone already, a packet filter
/// dropped it, or its network had a fault. Anything else concerns all who connect.
pub fn is_of_the_client(error: &io::Error) -> bool {
    const OF_THE_NETWORK: [i32; 8] = [
        libc::ECONNABORTED,
        libc::EPROTO,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
    ];
    let errno = error.raw_os_error();
    errno.is_some_and(|errno| OF_THE_NETWORK.contains(&errno))
}

/// What to do about a connection that cannot be accepted.
pub fn accept_remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => "raise LimitNOFILE of systemd or ulimit -n",
        Some(libc::ENFILE) => "raise fs.file-max, or see which program holds so many files",
        Some(libc::ENOBUFS | libc::ENOMEM) => "the kernel is short of memory, see `free -m`",
        _ => "the kernel log may say more, see `dmesg`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn all_threads_share_the_port_that_the_kernel_chose() {
        let listener = bind(any_port(), 3, 1).unwrap();
        assert_eq!(listener.sockets.len(), 3);
        for socket in &listener.sockets {
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            assert_eq!(address, listener.address);
        }
    }

    #[test]
    fn all_sockets_that_are_taken_over_are_kept_and_those_that_are_missing_bound() {
        let old = bind(any_port(), 2, 1).unwrap();
        for threads in 1..=3 {
            let copies = old.sockets.iter().map(|socket| socket.try_clone().unwrap());
            let new = adopt(copies.collect(), threads, 1).unwrap();
            assert_eq!(new.address, old.address);
            assert_eq!(new.sockets.len(), threads.max(2));
        }
    }

    #[test]
    fn a_port_that_shoal_shares_among_its_threads_is_closed_to_a_second_shoal() {
        let first = bind(any_port(), 2, 1).unwrap();
        let refusal = bind(first.address, 2, 1).unwrap_err();
        let pid = std::process::id();
        assert!(refusal.contains(&format!("pid {pid}")), "{refusal}");
    }

    #[test]
    fn a_port_is_free_at_once_although_connections_of_the_last_run_linger() {
        let first = bind(any_port(), 1, 1).unwrap();
        let mut client = TcpStream::connect(first.address).unwrap();
        client.write_all(b"x").unwrap();
        let (served, _) = first.sockets[0].accept().unwrap();
        drop(served); // with a byte unread, or not: the server's side closes first and lingers
        let _ = client.read(&mut [0; 8]);
        drop(client);
        let address = first.address;
        drop(first);
        bind(address, 2, 1).unwrap();
    }

    #[test]
    fn an_accepted_connection_does_not_wait_to_fill_a_packet() {
        let listener = bind(any_port(), 1, 1).unwrap();
        let mut client = TcpStream::connect(listener.address).unwrap();
        client.write_all(b"x").unwrap();
        let (served, _) = listener.sockets[0].accept().unwrap();
        assert!(served.tcp_nodelay().unwrap());
    }

    #[test]
    fn the_socket_file_of_a_killed_tracker_is_replaced_and_that_of_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let first = bind_unix(&path).unwrap();
        let refusal = bind_unix(&path).unwrap_err();
        assert!(
            refusal.contains("another process listens there"),
            "{refusal}"
        );
        let UnixListener { socket, file } = first;
        std::mem::forget(file);
        drop(socket);
        assert!(path.exists());
        let second = bind_unix(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_listener_before_whom_others_wait_is_somebody_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let other = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        other.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        other.listen(0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        assert_eq!(knock(&path), Err(Errno::EAGAIN));
        let refusal = bind_unix(&path).unwrap_err();
        assert!(
            refusal.contains("another process listens there"),
            "{refusal}"
        );
    }

    #[test]
    fn a_client_that_is_gone_is_its_own_affair_and_a_lack_of_files_is_not() {
        let is_its_own = |errno| is_of_the_client(&io::Error::from_raw_os_error(errno));
        assert!(is_its_own(libc::ECONNABORTED) && is_its_own(libc::EPROTO));
        assert!(!is_its_own(libc::EMFILE) && !is_its_own(libc::ENOMEM));
        assert!(!is_of_the_client(&io::Error::other("anything")));
    }

    #[test]
    fn a_socket_for_datagrams_in_the_place_of_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _logger = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let refusal = bind_unix(&path).unwrap_err();
        assert!(refusal.contains("of another process"), "{refusal}");
        assert!(path.exists());
    }

    #[test]
    fn a_tracker_that_ends_leaves_the_socket_of_its_successor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let UnixListener { socket, file } = bind_unix(&path).unwrap();
        drop(socket);
        let successor = bind_unix(&path).unwrap();
        drop(file);
        assert!(UnixStream::connect(&path).is_ok());
        drop(successor);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_place_of_the_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "words").unwrap();
        let refusal = bind_unix(&path).unwrap_err();
        assert!(refusal.contains("no socket"), "{refusal}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "words");
    }
}
