//! The TXT records of a name. The C library's resolver, which the rest of Shoal asks, knows addresses only,
//! so the name servers of `/etc/resolv.conf` are asked here (RFC 1035): over UDP, and over TCP when the
//! answer is too long.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

use super::host::Host;
use crate::query::failure::Deadline;

const PORT: u16 = 53;

/// Where a resolver is sought when the host names none, as resolv.conf(5) has it.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Bytes of a datagram that crosses any network whole.
const DATAGRAM_LEN_MAX: u16 = 1232;

/// How long one server may take for one try, and how often each is tried.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 2;

/// The name servers of a host, in its order.
pub(super) fn servers(host: &Host) -> Vec<SocketAddr> {
    let text = host.read("etc/resolv.conf").unwrap_or_default();
    let mut servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let server = words.next().filter(|word| *word == "nameserver");
            server.and(words.next())?.parse::<IpAddr>().ok()
        })
        .map(|ip| SocketAddr::new(ip, PORT))
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(LOCAL, PORT));
    }
    servers
}

/// The TXT records of `name`, each as one text; none if there is no such name or it has none. The error
/// says why nobody knows.
pub(super) fn txt(
    name: &str,
    servers: &[SocketAddr],
    deadline: Deadline,
) -> Result<Vec<String>, String> {
    let mut why = "there is no name server to ask".to_owned();
    for _ in 0..TRIES {
        for server in servers {
            match ask(name, *server, deadline.within(PATIENCE)) {
                Ok(texts) => return Ok(texts),
                Err(error) => why = format!("{server}: {error}"),
            }
        }
    }
    Err(why)
}

fn ask(name: &str, server: SocketAddr, deadline: Deadline) -> io::Result<Vec<String>> {
    let (id, request) = question(name).map_err(io::Error::other)?;
    let reply = over_udp(&request, server, deadline)?;
    match read(&reply, id) {
        Err(Unread::Truncated) => {
            let reply = over_tcp(&request, server, deadline)?;
            read(&reply, id)
        }
        done => done,
    }
    .map_err(|unread| {
        io::Error::other(match unread {
            Unread::Truncated => "it cuts its answer short".to_owned(),
            Unread::Other(why) => why,
        })
    })
}

fn question(name: &str) -> simple_dns::Result<(u16, Vec<u8>)> {
    let id = fastrand::u16(..);
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        Name::new(name)?,
        TYPE::TXT.into(),
        CLASS::IN.into(),
        false,
    ));
    *packet.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: DATAGRAM_LEN_MAX,
        version: 0,
    });
    Ok((id, packet.build_bytes_vec()?))
}

enum Unread {
    Truncated,
    Other(String),
}

fn read(reply: &[u8], id: u16) -> Result<Vec<String>, Unread> {
    let odd = |why: &str| Unread::Other(why.to_owned());
    let packet = Packet::parse(reply).map_err(|error| Unread::Other(error.to_string()))?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return Err(odd("it answers another question"));
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Err(Unread::Truncated);
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Vec::new()),
        code => return Err(Unread::Other(format!("it answers {code:?}"))),
    }
    // A name may be another's alias: the records of that one are in the answer too.
    let records = packet.answers.into_iter().map(|record| record.rdata);
    let texts = records.filter_map(|data| match data {
        RData::TXT(txt) => String::try_from(txt).ok(),
        _ => None,
    });
    Ok(texts.collect())
}

fn over_udp(request: &[u8], server: SocketAddr, deadline: Deadline) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    // From then on nobody else is heard.
    socket.connect(server)?;
    socket.send(request)?;
    let mut reply = vec![0; usize::from(u16::MAX)];
    loop {
        socket.set_read_timeout(Some(left(deadline)?))?;
        let len = socket.recv(&mut reply).map_err(timed_out)?;
        // What carries another id is a late answer or a forgery.
        if reply[..len].get(..2) == request.get(..2) {
            reply.truncate(len);
            return Ok(reply);
        }
    }
}

/// The same with a length in front.
fn over_tcp(request: &[u8], server: SocketAddr, deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, left(deadline)?)?;
    stream.set_read_timeout(Some(left(deadline)?))?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let len = u16::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), request].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len).map_err(timed_out)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply).map_err(timed_out)?;
    Ok(reply)
}

fn left(deadline: Deadline) -> io::Result<Duration> {
    deadline
        .left()
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// The kernel calls a passed time-out "would block".
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{CNAME, TXT};

    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    const NAME: &str = "tracker.example.org";

    /// What a server makes of one question.
    fn answer(request: &[u8], fill: impl FnOnce(&mut Packet<'_>)) -> Vec<u8> {
        let asked = Packet::parse(request).unwrap();
        assert_eq!(asked.questions[0].qname.to_string(), NAME);
        let mut reply = asked.into_reply();
        fill(&mut reply);
        reply.build_bytes_vec().unwrap()
    }

    fn record(text: &'static str) -> ResourceRecord<'static> {
        let data = RData::TXT(TXT::new().with_string(text).unwrap());
        ResourceRecord::new(Name::new_unchecked(NAME), CLASS::IN, 60, data)
    }

    type Answer = Box<dyn FnOnce(&mut Packet<'_>) + Send>;

    /// A server that answers the questions so, one after the other.
    fn server(answers: Vec<Answer>) -> (SocketAddr, thread::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let thread = thread::spawn(move || {
            for fill in answers {
                let mut request = [0; 512];
                let (len, from) = socket.recv_from(&mut request).unwrap();
                let reply = answer(&request[..len], fill);
                // A stranger's answer first.
                socket.send_to(b"\0\0no", from).unwrap();
                socket.send_to(&reply, from).unwrap();
            }
        });
        (address, thread)
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    #[test]
    fn texts_are_read_also_behind_an_alias() {
        let (address, thread) = server(vec![Box::new(|reply| {
            let alias = CNAME(Name::new_unchecked("t.example.net"));
            let alias = RData::CNAME(alias);
            let name = Name::new_unchecked(NAME);
            reply
                .answers
                .push(ResourceRecord::new(name, CLASS::IN, 60, alias));
            reply.answers.push(record("v=spf1 -all"));
            reply.answers.push(record("BITTORRENT UDP:6969"));
        })]);
        let texts = txt(NAME, &[address], soon());
        assert_eq!(texts.unwrap(), ["v=spf1 -all", "BITTORRENT UDP:6969"]);
        thread.join().unwrap();
    }

    #[test]
    fn no_such_name_is_no_record_and_a_failure_is_asked_again() {
        let (address, thread) = server(vec![
            Box::new(|reply| *reply.rcode_mut() = RCODE::ServerFailure),
            Box::new(|reply| *reply.rcode_mut() = RCODE::NameError),
        ]);
        assert_eq!(txt(NAME, &[address], soon()), Ok(Vec::new()));
        thread.join().unwrap();
        let (address, thread) = server(vec![
            Box::new(|reply| *reply.rcode_mut() = RCODE::Refused),
            Box::new(|reply| *reply.rcode_mut() = RCODE::Refused),
        ]);
        let why = txt(NAME, &[address], soon()).unwrap_err();
        assert!(why.ends_with("it answers Refused"), "{why}");
        thread.join().unwrap();
    }

    #[test]
    fn an_answer_that_was_cut_is_fetched_over_tcp() {
        let (address, thread) = server(vec![Box::new(|reply| {
            reply.set_flags(PacketFlag::TRUNCATION);
        })]);
        let listener = TcpListener::bind(address).unwrap();
        let longer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut request = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut request).unwrap();
            let reply = answer(&request, |reply| reply.answers.push(record("whole")));
            let len = (reply.len() as u16).to_be_bytes();
            stream
                .write_all(&[&len, reply.as_slice()].concat())
                .unwrap();
        });
        assert_eq!(txt(NAME, &[address], soon()).unwrap(), ["whole"]);
        thread.join().unwrap();
        longer.join().unwrap();
    }

    #[test]
    fn nobody_there_and_no_name_are_errors() {
        let gone = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(txt(NAME, &[gone], soon()).is_err());
        assert!(txt(NAME, &[], soon()).is_err());
        let long = "a".repeat(64);
        assert!(txt(&long, &[gone], soon()).is_err());
        let passed = Deadline::after(Duration::ZERO);
        assert!(txt(NAME, &[gone], passed).is_err());
    }

    #[test]
    fn random_bytes_are_no_answer_and_no_panic() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (id, request) = question(NAME).unwrap();
        let whole = answer(&request, |reply| reply.answers.push(record("text")));
        for _ in 0..20_000 {
            let mut reply = whole.clone();
            reply.truncate(random.usize(..=whole.len()));
            for _ in 0..random.usize(..4) {
                let len = reply.len();
                if let Some(byte) = reply.get_mut(random.usize(..len.max(1))) {
                    *byte = random.u8(..);
                }
            }
            let _ = read(&reply, id);
        }
    }

    #[test]
    fn the_servers_of_the_host_are_asked_in_its_order() {
        let made_up = MadeUp::with(&[(
            "etc/resolv.conf",
            "# a remark\nsearch example.org\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n\
             nameserver 2001:db8::53\n",
        )]);
        let expected = ["192.0.2.1:53", "[2001:db8::53]:53"];
        let expected: Vec<SocketAddr> = expected.map(|text| text.parse().unwrap()).into();
        assert_eq!(servers(&made_up.host()), expected);
        let local: SocketAddr = "127.0.0.1:53".parse().unwrap();
        assert_eq!(servers(&MadeUp::with(&[]).host()), [local]);
    }
}
