//! Whatever comes from strangers, as functions of bytes that must neither panic nor break the promises that
//! each of them checks. `scripts/fuzz.sh` gives them to libFuzzer; `tests/corpora.rs` replays what was
//! found, on every run of the tests.
//!
//! ```text
//!   wire.rs     datagrams, HTTP heads and queries, the PROXY protocol, bencode and .torrent files
//!   core.rs     whole turns of a core: datagrams in, replies out, time passing
//!   files.rs    configuration, lists, other trackers' files, blocks and records of the store
//!   api.rs      requests to the control server, by somebody who has a token
//!   answers.rs  what other trackers answer to `shoal query`
//! ```

mod answers;
mod api;
mod core;
mod files;
mod wire;

/// What a stranger's bytes are given to.
pub struct Target {
    /// The name of its corpus.
    pub name: &'static str,
    /// Most bytes that are worth trying.
    pub len_max: usize,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, len_max: usize, run: fn(&[u8])) -> Target {
    Target { name, len_max, run }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("datagram", 1500, wire::datagram),
    target("http_head", 4096, wire::http_head),
    target("http_query", 2048, wire::http_query),
    target("proxy_protocol", 600, wire::proxy_protocol),
    target("bencode", 4096, wire::bencode),
    target("metainfo", 4096, wire::metainfo),
    target("core", 4096, core::turns),
    target("config", 4096, files::config),
    target("lists", 2048, files::lists),
    target("import", 4096, files::import),
    target("block", 2048, files::block),
    target("records", 512, files::records),
    target("answers", 2048, answers::answers),
    target("api", 2048, api::request),
];

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
