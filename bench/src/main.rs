//! Load generator and measurements for Shoal and other trackers. `README.md` beside this says how to
//! repeat each figure.

mod cost;
mod curves;
mod echo;
mod hashes;
mod http;
mod instructions;
mod load;
mod memory;
mod process;
mod soak;
mod svg;
mod sys;
mod table;
mod wait;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};

/// Load generator and measurements for trackers. Sends to loopback addresses only.
#[derive(Parser)]
#[command(name = "shoal-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Load(Box<load::Options>),
    Echo(echo::Options),
    Wait(wait::Options),
    Watch(watch::Options),
    Hashes(hashes::Options),
    Cost(cost::Options),
    Https(http::https::Options),
    HttpIdle(http::idle::Options),
    Table(table::Options),
    Curves(curves::Options),
    Instructions(instructions::Options),
    Memory(memory::Options),
    Soak(soak::Options),
    #[command(hide = true)]
    Life(memory::LifeOptions),
    #[command(hide = true)]
    Operation(instructions::Rounds),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = stop_flag().and_then(|stop| match &arguments.command {
        Command::Load(options) => load::run(options, &stop),
        Command::Echo(options) => echo::run(options, &stop),
        Command::Wait(options) => wait::run(options, &stop),
        Command::Watch(options) => watch::run(options, &stop),
        Command::Hashes(options) => hashes::run(options),
        Command::Cost(options) => cost::run(options, &stop),
        Command::Https(options) => http::https::run(options, &stop),
        Command::HttpIdle(options) => http::idle::run(options, &stop),
        Command::Table(options) => table::run(options),
        Command::Curves(options) => curves::run(options, &stop),
        Command::Instructions(options) => instructions::run(options),
        Command::Memory(options) => memory::run(options, &stop),
        Command::Soak(options) => soak::run(options, &stop),
        Command::Life(options) => memory::live(options),
        Command::Operation(options) => instructions::rounds(options),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shoal-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes true when somebody wants this to end; a second signal ends it the hard way.
fn stop_flag() -> Result<Arc<AtomicBool>, String> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the handler that ends must find the flag still false the first time.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| format!("cannot catch signal {signal}: {error}"))?;
    }
    Ok(stop)
}
