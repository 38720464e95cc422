//! Bytes to a tracker and back, with a deadline on every wait and a limit on every read.
//!
//! What is sent is up to the caller, well-formed or not. The pieces:
//!
//! ```text
//! udp::Socket       of, from_local     a socket of the tracker's family, not connected, so that a
//!                                      reply from another address is seen, with that address
//!                   send, send_to      any bytes
//!                   receive            one datagram and where it came from, until a deadline
//! tls::Tls          system, with_authorities, insecure
//! tls::Trust        tls                the same, read when TLS is first wanted
//! http::Connection  open               TCP, and TLS where wanted, until a deadline
//!                   send               any bytes
//!                   response           one response: head, body without its framing, as it came
//!                   response_to_head   one response to HEAD
//!                   read_more          whatever comes next, or nothing at the end
//!                   received           all bytes that have come, as they came
//! ```
//!
//! Nothing here follows redirects, retries, or knows bencode: see [`super::ask`].

pub mod http;
pub mod tls;
pub mod udp;

/// Most bytes of one response, on the wire and again after decompression: 1 MiB, as newTrackon has it. Who
/// asks for more says so with [`http::Connection::with_bodies_of`].
pub const RESPONSE_LEN_MAX: usize = 1 << 20;

/// Most bytes of a response's head.
pub const HEAD_LEN_MAX: usize = 64 << 10;
