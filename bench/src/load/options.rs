//! What a load run is told, and what is refused before the first datagram.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use shoal::limits::SCRAPE_HASHES_MAX;
use shoal_bench::crowd::PEERS_MAX;

use super::pending::PENDING_MAX;
use super::zipf::Spread;

/// Most source sockets: a process may usually open 1024 files.
const SOURCES_MAX: usize = 1000;

/// Ask a tracker, check every reply, count and time them.
///
/// Closed loop by default: `--window` requests are kept in flight, which finds the rate at which a
/// server saturates. With `--rate` the loop is open: requests leave by the clock, and latency
/// counts from the moment a request should have left, so that a slow server cannot slow the
/// questions down and look better for it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Tracker to ask, on loopback only; may be given several times
    #[arg(long, required = true, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub(crate) target: Vec<SocketAddr>,

    /// Open loop: requests per second
    #[arg(long, value_name = "N", conflicts_with = "window",
          value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    pub(crate) rate: Option<u64>,

    /// Closed loop: requests in flight
    #[arg(long, value_name = "N", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=PENDING_MAX as i64 / 2))]
    pub(crate) window: u32,

    /// Seconds that count; 0 with --fill ends after the filling
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) duration: f64,

    /// Seconds of load before those that count
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    pub(crate) warmup: f64,

    /// Weights of connects, announces and scrapes
    #[arg(long, value_name = "C:A:S", default_value = "20:80:1")]
    pub(crate) mix: Mix,

    /// Torrents
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) torrents: u32,

    /// Peers of each torrent
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(PEERS_MAX)))]
    pub(crate) peers_per_torrent: u32,

    /// How announces and scrapes spread over the torrents: uniform, zipf or zipf:EXPONENT
    #[arg(long, value_name = "SPREAD", default_value = "uniform")]
    pub(crate) dist: Spread,

    /// Share of the peers that are seeders
    #[arg(long, value_name = "0..1", default_value = "0.5", value_parser = share)]
    pub(crate) seeder_share: f64,

    /// Peers wanted by an announce; -1 leaves it to the tracker
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-1..))]
    pub(crate) numwant: i32,

    /// Info-hashes in a scrape
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=SCRAPE_HASHES_MAX as i64))]
    pub(crate) scrape_hashes: u32,

    /// Source sockets, each with a port of its own, for every target
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=SOURCES_MAX as i64))]
    pub(crate) sources: u32,

    /// Source addresses, from 127.0.0.2 on, over which the sockets are spread; 1 = 127.0.0.1.
    /// IPv6 has only one loopback address
    #[arg(long, value_name = "K", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=SOURCES_MAX as i64))]
    pub(crate) source_addresses: u32,

    /// Before the load, announce every peer of every torrent once, as fast as replies come, and
    /// again what got no answer
    #[arg(long)]
    pub(crate) fill: bool,

    /// Peers of all torrents together, which --fill then spreads over them as --dist says, one at
    /// least for each, in place of --peers-per-torrent; needs --duration 0
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) fill_peers: Option<u32>,

    /// Peers wanted by the announces of --fill
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-1..))]
    pub(crate) fill_numwant: i32,

    /// Give up filling after so many seconds
    #[arg(long, value_name = "S", default_value = "600", value_parser = seconds)]
    pub(crate) fill_timeout: f64,

    /// End filling after so many seconds and go on with the peers that are there
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) fill_limit: Option<f64>,

    /// After filling, scrape so many random torrents and compare the totals with what was filled
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) verify: u32,

    /// Share of announces and scrapes that carry a made-up connection id. They are sent on top and
    /// never waited for; a tracker should refuse them or say nothing
    #[arg(long, value_name = "0..1", default_value = "0", value_parser = share_below_one)]
    pub(crate) stale_share: f64,

    /// Seconds after which a source asks for a new connection id, whatever the mix
    #[arg(long, value_name = "S", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) id_lifetime: u64,

    /// Milliseconds after which a request counts as lost
    #[arg(long, value_name = "MS", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) timeout: u64,

    /// A reply is also invalid when it tells of more peers than this crowd has, or hands out a
    /// peer that it has not. Only right when nobody else announces to the tracker
    #[arg(long)]
    pub(crate) strict: bool,

    /// Send each request by itself. By default runs of requests of one kind are cut apart by the
    /// kernel (UDP segmentation), which also means that a server's steering sees a run as one
    /// datagram: measure servers of several workers with this
    #[arg(long)]
    pub(crate) no_gso: bool,

    /// Sleep while nothing is to be done, as a generator should that shares its CPU. It is less exact
    /// by some hundredths of a millisecond, and the server has to wake it up
    #[arg(long)]
    pub(crate) sleep: bool,

    /// Pin the generator to this CPU
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<usize>,

    /// Process of the server on this host: report its CPU time and memory too
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pid: Option<u32>,

    /// Same seed, same torrents, peers and order of requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Also write the result as JSON; - writes it to standard output in place of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// What one option alone cannot tell.
    pub(crate) fn check(&self) -> Result<(), String> {
        let lanes = self.target.len() * self.sources as usize;
        if lanes > SOURCES_MAX {
            return Err(format!(
                "{} targets with {} sources each are more than {SOURCES_MAX} sockets",
                self.target.len(),
                self.sources
            ));
        }
        if self.source_addresses > self.sources {
            return Err(format!(
                "{} source addresses need as many --sources, not {}",
                self.source_addresses, self.sources
            ));
        }
        if self.duration == 0.0 && !self.fill {
            return Err(String::from(
                "--duration 0 leaves nothing to do without --fill",
            ));
        }
        if let Some(peers) = self.fill_peers {
            if !self.fill || self.duration > 0.0 {
                return Err(String::from("--fill-peers needs --fill and --duration 0"));
            }
            let most = u64::from(self.torrents) * u64::from(PEERS_MAX);
            if peers < self.torrents || u64::from(peers) > most {
                return Err(format!(
                    "--fill-peers {peers} leaves {} torrents with less than one peer, or more than \
                     {PEERS_MAX}",
                    self.torrents
                ));
            }
        }
        if self.verify > 0 && (!self.fill || self.target.len() > 1) {
            return Err(String::from("--verify needs --fill and a single --target"));
        }
        Ok(())
    }
}

/// Accepts only addresses of this host that nobody else can have: at full speed this program is a
/// flood, and a wrong digit must not send it to a stranger.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = loopback_any_port(text)?;
    if address.port() == 0 {
        return Err(format!("{address} has no port to send to"));
    }
    Ok(address)
}

/// The same for a listener, for which port 0 lets the kernel choose.
pub(crate) fn loopback_any_port(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        format!("{text:?} is not ADDRESS:PORT, such as 127.0.0.1:6969 or [::1]:6969")
    })?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is not a loopback address; this program only ever sends to 127.0.0.0/8 and ::1"
        ));
    }
    Ok(address)
}

/// Seconds, up to a day: every run ends by itself.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!(
            "{text:?} is not a number of seconds from 0 to 86400"
        )),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not a number from 0 to 1")),
    }
}

/// Requests that nobody waits for need others beside them that set the pace.
fn share_below_one(text: &str) -> Result<f64, String> {
    match share(text)? {
        share if share <= 0.9 => Ok(share),
        _ => Err(format!("{text:?} is more than 0.9")),
    }
}

/// Weights of the three kinds of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mix {
    pub(crate) connects: u32,
    pub(crate) announces: u32,
    pub(crate) scrapes: u32,
}

impl Mix {
    pub(crate) fn total(self) -> u32 {
        self.connects + self.announces + self.scrapes
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let weights: Option<Vec<u32>> = text
            .split(':')
            .map(|weight| weight.parse().ok().filter(|&weight| weight <= 1_000_000))
            .collect();
        match weights.as_deref() {
            Some(&[connects, announces, scrapes]) if connects + announces + scrapes > 0 => {
                Ok(Self {
                    connects,
                    announces,
                    scrapes,
                })
            }
            _ => Err(format!(
                "{text:?} is not CONNECTS:ANNOUNCES:SCRAPES, three weights up to a million"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_ever_a_target() {
        for good in ["127.0.0.1:6969", "127.255.0.9:1", "[::1]:6969"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in [
            "192.0.2.1:6969",
            "10.0.0.1:6969",
            "0.0.0.0:6969",
            "[::]:6969",
            "[2001:db8::1]:6969",
            "[::ffff:192.0.2.1]:6969",
            "[::ffff:127.0.0.1]:6969",
            "128.0.0.1:1",
        ] {
            let error = loopback(bad).unwrap_err();
            assert!(
                error.contains("is not a loopback address"),
                "{bad}: {error}"
            );
        }
        for unreadable in ["localhost:6969", "127.0.0.1", "127.0.0.1:0", ""] {
            assert!(loopback(unreadable).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn a_mix_has_three_weights_that_are_not_all_zero() {
        let mix: Mix = "20:80:1".parse().unwrap();
        assert_eq!(
            (mix.connects, mix.announces, mix.scrapes, mix.total()),
            (20, 80, 1, 101)
        );
        for wrong in [
            "",
            "1",
            "1:2",
            "0:0:0",
            "1:2:3:4",
            "a:b:c",
            "-1:2:3",
            "4294967295:1:1",
        ] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
