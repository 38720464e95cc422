//! The torrents that the other commands ask for, for trackers that must be told of them.

use std::io::{self, BufWriter, Write};

use shoal_bench::crowd::Crowd;

/// Print the info-hashes of the torrents that a load with the same seed asks for, 40 hex digits a line.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Torrents
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    torrents: u32,

    /// The seed of the load
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    // Which of the peers are seeders changes no info-hash.
    let crowd = Crowd::new(options.seed, 0.0);
    let mut out = BufWriter::new(io::stdout().lock());
    (0..options.torrents)
        .try_for_each(|torrent| {
            for byte in crowd.info_hash(torrent).0 {
                write!(out, "{byte:02x}")?;
            }
            writeln!(out)
        })
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot print the info-hashes: {error}"))
}
