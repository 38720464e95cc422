//! How the price of things grows: with torrents, with peers, with what is asked for, with cores. One
//! process on one CPU, no network.
//!
//! ```text
//!   announce, arrival    what an announce costs, what a newcomer costs
//!   sweep, store         forgetting; a snapshot and the way back
//!   cores                what it costs that another core owns the torrent
//!   overload             who is kept when memory is not enough for all
//!   sample               many short samples, of which the middle one counts
//!   plot, page           a picture and a table of each
//! ```

mod announce;
mod arrival;
mod cores;
mod overload;
mod page;
pub(crate) mod plot;
pub(crate) mod sample;
mod store;
mod sweep;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shoal::swarm::Swarms;
use shoal_bench::bare_core::{self, NOW};
use shoal_bench::crowd::Crowd;

use crate::sys;
use crate::table::{CURVES, describe_machine, replace_page};
use sample::{Cost, Sampler};

/// Measure how the costs grow, and print tables; with --write also draw them.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Measure these only: torrents, peers, arrival, numwant, batch, sweep, store, cores, overload
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,

    /// Run on this CPU; `cores` uses the next one too
    #[arg(long, value_name = "N", default_value_t = 0)]
    cpu: usize,

    /// Most GiB of swarms; a curve ends before it
    #[arg(long, value_name = "GIB", default_value_t = 4.0)]
    memory_max: f64,

    /// Folder under which a store is made, and removed again [default: the system's for such things]
    #[arg(long, value_name = "DIR")]
    temp: Option<PathBuf>,

    /// What the kernel takes for a datagram and its reply, in ns: part of what is told of many cores
    #[arg(long, value_name = "NS", default_value_t = 3200.0)]
    kernel_ns: f64,

    /// Small sizes and few samples: a look, not a measurement
    #[arg(long)]
    quick: bool,

    /// Date to print
    #[arg(long, value_name = "DATE", default_value = "")]
    date: String,

    /// Put the tables between the marks of this Markdown file and the pictures into the folder `curves` beside it
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// A picture and a table.
pub(crate) struct Curve {
    /// Name of the picture.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is measured; a paragraph or more.
    pub(crate) text: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// What stands along an edge of the picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    label: &'static str,
    is_log: bool,
}

impl Axis {
    pub(crate) const fn log(label: &'static str) -> Self {
        let is_log = true;
        Self { label, is_log }
    }

    /// From 0 on.
    pub(crate) const fn linear(label: &'static str) -> Self {
        let is_log = false;
        Self { label, is_log }
    }
}

/// One line of a picture, and one column of a table.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Cost)>,
}

impl Series {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_owned();
        let points = Vec::new();
        Self { name, points }
    }

    pub(crate) fn add(&mut self, x: impl Into<f64>, cost: Cost) {
        self.points.push((x.into(), cost));
    }
}

/// What every measurement is told.
pub(super) struct Bounds<'a> {
    quick: bool,
    memory_max: usize,
    cpu: usize,
    kernel_ns: f64,
    temp: PathBuf,
    sampler: Sampler,
    stop: &'a AtomicBool,
}

impl Bounds<'_> {
    /// An error when somebody wants this to end.
    fn go_on(&self) -> Result<(), String> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(String::from("stopped"));
        }
        Ok(())
    }

    /// One, three, ten and so on, up to `max` or to what is enough for a look.
    fn sizes(&self, min: u32, max: u32) -> Vec<u32> {
        let max = if self.quick { max.min(10_000) } else { max };
        let steps = (0..9).flat_map(|power| [10_u32.pow(power), 3 * 10_u32.pow(power)]);
        steps.filter(|size| (min..=max).contains(size)).collect()
    }

    /// Swarms of so many torrents and peers; none when they would take too much memory.
    fn filled(&self, torrents: u32, peers: u32) -> Result<Option<Swarms>, String> {
        self.go_on()?;
        let mut swarms = bare_core::swarms(Some(self.memory_max));
        let filled = crowd().fill(&mut swarms, 0..torrents, peers, NOW.uptime_s);
        if filled.refused > 0 {
            eprintln!("{torrents} torrents of {peers} do not fit --memory-max");
            return Ok(None);
        }
        Ok(Some(swarms))
    }
}

/// The crowd of all curves.
fn crowd() -> Crowd {
    Crowd::new(1, 0.5)
}

type Measure = fn(&Bounds<'_>) -> Result<Vec<Curve>, String>;

const MEASURES: [(&str, Measure); 9] = [
    ("torrents", announce::against_torrents),
    ("peers", announce::against_peers),
    ("arrival", arrival::measure),
    ("numwant", announce::against_numwant),
    ("batch", announce::against_batch),
    ("sweep", sweep::measure),
    ("store", store::measure),
    ("cores", cores::measure),
    ("overload", overload::measure),
];

pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    for name in &options.only {
        if !MEASURES.iter().any(|(known, _)| known == name) {
            return Err(format!("there is no curve {name}; see --help"));
        }
    }
    sys::pin_to_cpu(options.cpu)
        .map_err(|error| format!("cannot run on CPU {}: {error}", options.cpu))?;
    // The option is bounded by what a machine has, which 64 bits hold.
    #[allow(clippy::cast_sign_loss)]
    let memory_max = (options.memory_max.max(0.0) * f64::from(1 << 30)) as usize;
    let patience_ms = if options.quick { 10 } else { 1000 };
    let bounds = Bounds {
        quick: options.quick,
        memory_max,
        cpu: options.cpu,
        kernel_ns: options.kernel_ns,
        temp: options.temp.clone().unwrap_or_else(std::env::temp_dir),
        sampler: Sampler::new(Duration::from_millis(patience_ms)),
        stop,
    };
    let mut curves = Vec::new();
    for (name, measure) in MEASURES {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            eprintln!("measuring {name}");
            curves.extend(measure(&bounds)?);
        }
    }
    let page = page::page(&curves, &describe_machine(), &options.date);
    print!("{page}");
    let Some(file) = &options.write else {
        return Ok(());
    };
    for curve in &curves {
        draw(curve, file)?;
    }
    replace_page(file, &CURVES, &page)
}

fn draw(curve: &Curve, beside: &Path) -> Result<(), String> {
    let folder = beside.parent().unwrap_or(Path::new("")).join("curves");
    let file = folder.join(format!("{}.svg", curve.name));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, plot::svg(curve)))
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}
