//! `shoal query` and `shoal check`: questions to a tracker, this one or any other, and all that it says.
//!
//! ```text
//!   command line        cli/query.rs
//!     |
//!   Wish                run.rs          what is asked: which torrents, as which client, how often
//!     | ask_all                         several URLs at one time, each resolved (target.rs)
//!   Question            outcome.rs      an announce, a scrape, or a scrape of everything
//!     | ask             ask.rs          one address, one deadline
//!     +-- udp           ask/udp.rs      connection id, datagrams again, replies for somebody else
//!     +-- http          ask/http.rs     worded as a client words it (profile.rs), redirects
//!     |                 wire/           sockets: any bytes out, whatever comes in
//!   bytes
//!     |                 decode.rs       notes about what is odd
//!   Outcome             outcome.rs      an answer, or a Failure (failure.rs): a word and a sentence
//!     |
//!   table.rs, json.rs, csv.rs, hex.rs
//! ```
//!
//! [`run::Wish`] asks as the command line wants, [`ask::ask`] one question to one address,
//! [`check::Checker`] goes through a list as Torrust's checker does. Sockets block and threads wait: this
//! is a tool for people. Every wait has a deadline, and no answer may be longer than
//! [`wire::RESPONSE_LEN_MAX`].

pub mod ask;
pub mod check;
pub mod conformance;
pub mod csv;
pub mod decode;
pub mod failure;
pub mod hash;
pub mod hex;
pub mod json;
pub mod lookup;
pub mod outcome;
pub mod profile;
pub mod run;
pub mod table;
pub mod target;
pub mod wire;
