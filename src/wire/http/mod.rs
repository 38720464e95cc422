//! Trackers over HTTP: BEP 3, with compact peers (BEP 7, 23), `external ip` (BEP 24), `retry in`
//! (BEP 31) and scrapes (BEP 48).
//!
//! ```text
//!   bytes     proxy_protocol.rs   whose connection is it, when a proxy stands in front?
//!     |
//!   Head      head.rs, fields.rs  request line and header fields, borrowed from the bytes
//!     |       forwarded.rs        ... or the proxy says it here
//!   Route     route.rs            what does the path ask for?
//!     |
//!   query     query.rs, announce.rs, scrape.rs
//!     |
//!   body      reply.rs            bencoded with bencode.rs, appended to the caller's buffer
//!     |
//!   response  response.rs         status line, the few header fields that matter, body
//! ```
//!
//! Nothing here allocates, but for a caller's buffer that has to grow. No bytes can make it panic.

pub mod announce;
pub mod bencode;
mod fields;
pub mod forwarded;
pub mod head;
pub mod proxy_protocol;
pub mod query;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod read_back_tests;
pub mod reply;
pub mod response;
pub mod route;
pub mod scrape;
#[cfg(test)]
mod vector_tests;

/// Where the first byte stands that `is` says yes to. Looks at sixteen bytes at a time, which the
/// compiler turns into a few vector instructions.
fn position(bytes: &[u8], is: impl Fn(u8) -> bool) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let whole = blocks
        .iter()
        .take_while(|block| !block.iter().fold(false, |any, &byte| any | is(byte)))
        .count();
    let from = whole * 16;
    let rest = blocks.get(whole).map_or(rest, |block| block.as_slice());
    let within = rest.iter().position(|&byte| is(byte))?;
    Some(from + within)
}

/// What stands before and behind the first `separator`.
fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = position(bytes, |byte| byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}
