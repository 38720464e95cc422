//! An announce over HTTP, worded as libtorrent words it, and the check of its reply.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

/// Most bytes of a reply that are read before it counts as wrong.
const REPLY_LEN_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 32;

/// What becomes of the connection after the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    KeepAlive,
    Close,
}

/// One peer's regular announce: no event, 50 peers wanted.
pub(super) fn request(host: SocketAddr, info_hash: [u8; 20], port: u16, after: After) -> String {
    worded(host, info_hash, port, 1000, "", after)
}

/// The same of a peer that misses `left` bytes, with the words of an event such as `&event=started`.
pub(crate) fn worded(
    host: SocketAddr,
    info_hash: [u8; 20],
    port: u16,
    left: u64,
    event: &str,
    after: After,
) -> String {
    let mut out = String::from("GET /announce?info_hash=");
    for byte in info_hash {
        // Writing to a String does not fail.
        let _ = write!(out, "%{byte:02x}");
    }
    let connection = match after {
        After::KeepAlive => "keep-alive",
        After::Close => "close",
    };
    let _ = write!(
        out,
        "&peer_id=-LT20B0-{port:012}&port={port}&uploaded=0&downloaded=0&left={left}&corrupt=0\
         &key={port:08X}{event}&numwant=50&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 HTTP/1.1\r\n\
         Host: {host}\r\nUser-Agent: libtorrent/2.0.11.0\r\nConnection: {connection}\r\n\r\n"
    );
    out
}

/// Sends a request and reads the reply, which must be 200 and a list of peers.
pub(crate) fn ask(stream: &mut (impl Read + Write), request: &str) -> io::Result<()> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut reply = Vec::with_capacity(2048);
    let mut chunk = [0; 2048];
    loop {
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reply.extend_from_slice(&chunk[..len]);
        let complete = is_complete(&reply).map_err(|error| {
            let shown = String::from_utf8_lossy(&reply[..reply.len().min(300)]).into_owned();
            io::Error::new(io::ErrorKind::InvalidData, format!("{error}: {shown:?}"))
        })?;
        if complete {
            return Ok(());
        }
    }
}

/// False while there is more to come.
fn is_complete(reply: &[u8]) -> Result<bool, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let head_len = match head.parse(reply).map_err(|error| error.to_string())? {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial if reply.len() < REPLY_LEN_MAX => return Ok(false),
        httparse::Status::Partial => return Err(String::from("the head has no end")),
    };
    if head.code != Some(200) {
        return Err(String::from("the status is not 200"));
    }
    let body_len: usize = head
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok())
        .filter(|&len| len <= REPLY_LEN_MAX)
        .ok_or("the reply does not tell its length")?;
    let body = &reply[head_len..];
    if body.len() < body_len {
        return Ok(false);
    }
    let says = |text: &[u8]| body.windows(text.len()).any(|window| window == text);
    if body.len() > body_len || !body.starts_with(b"d") || !says(b"5:peers") {
        return Err(String::from("the body is not a list of peers"));
    }
    if says(b"14:failure reason") {
        return Err(String::from("the announce was refused"));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "d8:intervali9e5:peers0:e";

    fn reply(status: u16, body: &str) -> Vec<u8> {
        let len = body.len();
        format!("HTTP/1.1 {status} X\r\ncontent-LENGTH: {len}   \r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn a_reply_is_complete_with_its_last_byte_and_not_before() {
        let whole = reply(200, BODY);
        for len in 0..whole.len() {
            assert_eq!(is_complete(&whole[..len]), Ok(false), "{len}");
        }
        assert_eq!(is_complete(&whole), Ok(true));
    }

    #[test]
    fn what_is_no_list_of_peers_is_refused() {
        let too_long = [reply(200, BODY), b"x".to_vec()].concat();
        for wrong in [
            reply(404, BODY),
            reply(200, "d14:failure reason2:no5:peers0:e"),
            reply(200, "<html>5:peers"),
            reply(200, "de"),
            too_long,
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            b"220 ready\r\n".to_vec(),
        ] {
            assert!(
                is_complete(&wrong).is_err(),
                "{}",
                String::from_utf8_lossy(&wrong)
            );
        }
    }

    #[test]
    fn a_request_names_its_info_hash_and_what_becomes_of_the_connection() {
        let host = "127.0.0.1:7080".parse().unwrap();
        let text = request(host, [0xab; 20], 6881, After::Close);
        let first = format!(
            "GET /announce?info_hash={}&peer_id=-LT20B0-",
            "%ab".repeat(20)
        );
        assert!(text.starts_with(&first), "{text}");
        assert!(text.contains("&port=6881&") && text.contains("\r\nConnection: close\r\n"));
        assert!(text.ends_with("\r\n\r\n"));
    }
}
