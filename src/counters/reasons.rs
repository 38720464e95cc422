//! Why something was refused, and the words for it.

use crate::gate::address_policy::Refusal;
use crate::gate::flood::Over;
use crate::gate::keys::KeyFault;
use crate::wire::udp::Silence;

/// Why a datagram got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discard {
    /// Shorter than any request.
    Runt,
    /// Longer than any request: it did not fit a receive slot.
    Truncated,
    /// A connect without the protocol's number.
    WrongProtocolId,
    /// An action that no client sends.
    UnknownAction,
    /// An announce of fewer than 98 bytes.
    ShortAnnounce,
    /// From port 0, or from an address that no answer reaches.
    UnanswerableSource,
    /// Sent to a broadcast or multicast address: every core gets a copy, and each would answer.
    NotUnicast,
    /// A connection id that was never issued to its source.
    ForgedConnectionId,
    /// A connection id that is too old, in a datagram shorter than the error that would say so.
    ExpiredConnectionId,
    /// Its source, which has proved its address, is over `flood.per_source`.
    SourceOverRate,
    /// The network around its source is over `flood.per_network`.
    NetworkOverRate,
    /// The queue of the owning core was full.
    HandoverFull,
    /// More replies in one turn than there are slots to send them.
    OutboxFull,
}

impl Discard {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Runt,
        Self::Truncated,
        Self::WrongProtocolId,
        Self::UnknownAction,
        Self::ShortAnnounce,
        Self::UnanswerableSource,
        Self::NotUnicast,
        Self::ForgedConnectionId,
        Self::ExpiredConnectionId,
        Self::SourceOverRate,
        Self::NetworkOverRate,
        Self::HandoverFull,
        Self::OutboxFull,
    ];

    /// The word for it in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runt => "runt",
            Self::Truncated => "truncated",
            Self::WrongProtocolId => "wrong_protocol_id",
            Self::UnknownAction => "unknown_action",
            Self::ShortAnnounce => "short_announce",
            Self::UnanswerableSource => "unanswerable_source",
            Self::NotUnicast => "not_unicast",
            Self::ExpiredConnectionId => "expired_connection_id",
            Self::ForgedConnectionId => "forged_connection_id",
            Self::SourceOverRate => "source_over_rate",
            Self::NetworkOverRate => "network_over_rate",
            Self::HandoverFull => "handover_full",
            Self::OutboxFull => "outbox_full",
        }
    }
}

impl From<Over> for Discard {
    fn from(over: Over) -> Self {
        match over {
            Over::Source => Self::SourceOverRate,
            Over::Network => Self::NetworkOverRate,
        }
    }
}

impl From<Silence> for Discard {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Runt => Self::Runt,
            Silence::WrongProtocolId => Self::WrongProtocolId,
            Silence::UnknownAction => Self::UnknownAction,
            Silence::ShortAnnounce => Self::ShortAnnounce,
        }
    }
}

/// Why a proven source got an error reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Its connection id is too old.
    ExpiredConnectionId,
    /// It announced port 0.
    InvalidPort,
    /// It scraped no torrent.
    NoInfoHash,
    /// The operator refuses its address.
    IgnoredAddress,
    /// It announced from an address that nobody on the internet reaches.
    PrivateAddress,
    /// It asked without naming a torrent.
    MissingInfoHash,
    /// Its info-hash is not 20 bytes, or it named two.
    InvalidInfoHash,
    /// It announced without a peer id.
    MissingPeerId,
    /// Its peer id is not 20 bytes.
    InvalidPeerId,
    /// It scraped more torrents than `scrape.max_hashes`.
    TooManyInfoHashes,
    /// It scraped everything, and `scrape.full` is off.
    FullScrapeDisabled,
    /// A trusted proxy did not say, or not in a readable way, whom it speaks for.
    NoClientAddress,
    /// The owning core has more to do than it can.
    Overloaded,
    /// Its torrent is on the blocklist, or not on the allowlist.
    InfoHashNotAllowed,
    /// Its address is on the blocklist.
    BlockedAddress,
    /// Its client is not welcome.
    ClientNotAllowed,
    /// The tracker is private, and its URL has no key.
    MissingKey,
    /// What stands in the place of its key is none.
    MalformedKey,
    /// Nobody was given its key.
    UnknownKey,
    /// Its key was good until lately.
    ExpiredKey,
    /// It is over `flood.per_source`, over HTTP.
    SourceOverRate,
    /// The network around it is over `flood.per_network`, over HTTP.
    NetworkOverRate,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::ExpiredConnectionId,
        Self::InvalidPort,
        Self::NoInfoHash,
        Self::IgnoredAddress,
        Self::PrivateAddress,
        Self::MissingInfoHash,
        Self::InvalidInfoHash,
        Self::MissingPeerId,
        Self::InvalidPeerId,
        Self::TooManyInfoHashes,
        Self::FullScrapeDisabled,
        Self::NoClientAddress,
        Self::Overloaded,
        Self::InfoHashNotAllowed,
        Self::BlockedAddress,
        Self::ClientNotAllowed,
        Self::MissingKey,
        Self::MalformedKey,
        Self::UnknownKey,
        Self::ExpiredKey,
        Self::SourceOverRate,
        Self::NetworkOverRate,
    ];

    /// What the client is told; fewer than 64 bytes.
    pub fn text(self) -> &'static str {
        match self {
            Self::ExpiredConnectionId => "connection id expired",
            Self::InvalidPort => "invalid port",
            Self::NoInfoHash => "no info_hash",
            Self::IgnoredAddress => "address not allowed",
            Self::PrivateAddress => "private address not allowed",
            Self::MissingInfoHash => "missing info_hash",
            Self::InvalidInfoHash => "invalid info_hash",
            Self::MissingPeerId => "missing peer_id",
            Self::InvalidPeerId => "invalid peer_id",
            Self::TooManyInfoHashes => "too many info_hashes",
            Self::FullScrapeDisabled => "full scrape disabled",
            Self::NoClientAddress => "the proxy names no client address",
            Self::Overloaded => "overloaded",
            Self::InfoHashNotAllowed => "info_hash not allowed",
            Self::BlockedAddress => "address blocked",
            Self::ClientNotAllowed => "client not allowed",
            // Scripts look for the first two words, which Torrust has too.
            Self::MissingKey => "Authentication error: the announce URL has no key",
            Self::MalformedKey => "Authentication error: the key is malformed",
            Self::UnknownKey => "Authentication error: unknown key",
            Self::ExpiredKey => "Authentication error: the key has expired",
            Self::SourceOverRate => "too many requests from your address",
            Self::NetworkOverRate => "too many requests from your network",
        }
    }

    /// True when it came too often, so that HTTP says so with a status of its own.
    pub fn is_by_rate(self) -> bool {
        matches!(self, Self::SourceOverRate | Self::NetworkOverRate)
    }

    /// True when a list turned it away, so that `access.deny` says how it is told.
    pub fn is_by_list(self) -> bool {
        matches!(
            self,
            Self::InfoHashNotAllowed | Self::BlockedAddress | Self::ClientNotAllowed
        )
    }

    /// The word for it in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExpiredConnectionId => "expired_connection_id",
            Self::InvalidPort => "invalid_port",
            Self::NoInfoHash => "no_info_hash",
            Self::IgnoredAddress => "ignored_address",
            Self::PrivateAddress => "private_address",
            Self::MissingInfoHash => "missing_info_hash",
            Self::InvalidInfoHash => "invalid_info_hash",
            Self::MissingPeerId => "missing_peer_id",
            Self::InvalidPeerId => "invalid_peer_id",
            Self::TooManyInfoHashes => "too_many_info_hashes",
            Self::FullScrapeDisabled => "full_scrape_disabled",
            Self::NoClientAddress => "no_client_address",
            Self::Overloaded => "overloaded",
            Self::InfoHashNotAllowed => "info_hash_not_allowed",
            Self::BlockedAddress => "blocked_address",
            Self::ClientNotAllowed => "client_not_allowed",
            Self::MissingKey => "missing_key",
            Self::MalformedKey => "malformed_key",
            Self::UnknownKey => "unknown_key",
            Self::ExpiredKey => "expired_key",
            Self::SourceOverRate => "source_over_rate",
            Self::NetworkOverRate => "network_over_rate",
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ignored => Self::IgnoredAddress,
            Refusal::NotPublic => Self::PrivateAddress,
        }
    }
}

impl From<Over> for Fault {
    fn from(over: Over) -> Self {
        match over {
            Over::Source => Self::SourceOverRate,
            Over::Network => Self::NetworkOverRate,
        }
    }
}

impl From<KeyFault> for Fault {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Missing => Self::MissingKey,
            KeyFault::Malformed => Self::MalformedKey,
            KeyFault::Unknown => Self::UnknownKey,
            KeyFault::Expired => Self::ExpiredKey,
        }
    }
}

/// What was wrong with a request, or a connection, before there was anything to ask a tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadRequest {
    /// The bytes are no HTTP request.
    NotHttp,
    /// A TLS client on a port that speaks plain HTTP.
    TlsHello,
    /// A request line or header that breaks the rules of HTTP.
    BadHead,
    /// More header lines than any client sends.
    TooManyHeaders,
    /// A head longer than [`HEAD_LEN_MAX`](crate::limits::HEAD_LEN_MAX).
    HeadTooLong,
    /// The head was not complete within `connections.request_timeout`.
    HeadTimedOut,
    /// The reply was not taken within `connections.request_timeout`.
    ReplyTimedOut,
    /// A path that leads nowhere.
    NotFound,
    /// Neither GET nor HEAD.
    MethodNotAllowed,
    /// A client address in a header, from somebody who is not a trusted proxy. The header was ignored.
    UntrustedProxy,
    /// No PROXY protocol header where there must be one, or not from a trusted proxy.
    BadProxyHeader,
}

impl BadRequest {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::NotHttp,
        Self::TlsHello,
        Self::BadHead,
        Self::TooManyHeaders,
        Self::HeadTooLong,
        Self::HeadTimedOut,
        Self::ReplyTimedOut,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::UntrustedProxy,
        Self::BadProxyHeader,
    ];

    /// The word for it in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotHttp => "not_http",
            Self::TlsHello => "tls_hello",
            Self::BadHead => "bad_head",
            Self::TooManyHeaders => "too_many_headers",
            Self::HeadTooLong => "head_too_long",
            Self::HeadTimedOut => "head_timed_out",
            Self::ReplyTimedOut => "reply_timed_out",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UntrustedProxy => "untrusted_proxy",
            Self::BadProxyHeader => "bad_proxy_header",
        }
    }
}
