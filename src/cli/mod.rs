//! The command line: what was asked for, the configuration for it, and the exit code. 0 is good, 1
//! means that what was asked for failed, 2 that it was asked for wrongly.

mod api;
mod block;
mod check;
mod completions;
mod conformance;
mod doctor;
mod import;
mod key;
mod logging;
mod man;
mod query;
mod torrent;
mod user;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::boot;
use crate::config::{self, Loaded, Mistakes, Setting};

/// The whole command line.
#[derive(Parser, Debug)]
#[command(
    name = "shoal",
    version,
    about = "A BitTorrent tracker. Without a command it runs.",
    long_about = None,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the tracker until SIGINT or SIGTERM
    Run(Run),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask trackers, this one or any other, and show what they answer
    Query(Box<query::Query>),
    /// Check a list of trackers and pages, as Torrust's checker does
    Check(check::Check),
    /// Say what on this host will lose packets, and the line that mends it
    Doctor(doctor::Doctor),
    /// Register torrents with the running tracker, and show what it knows of them
    #[command(subcommand)]
    Torrent(torrent::Torrent),
    /// Give and take the keys of a private tracker
    #[command(subcommand)]
    Key(key::Key),
    /// Block torrents, addresses and networks
    #[command(subcommand)]
    Block(block::Block),
    /// Make the hash of a password
    #[command(subcommand)]
    User(user::User),
    /// Take over what another tracker leaves behind: state, lists, databases, settings
    Import(import::Import),
    /// Print what a shell must know to complete the command line
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Print the effective configuration, with comments and with its secrets
    Print {
        #[command(flatten)]
        sources: Sources,
    },
    /// Say every mistake in the configuration at once
    Check {
        #[command(flatten)]
        sources: Sources,
    },
}

/// How the tracker is run.
#[derive(Args, Debug)]
struct Run {
    #[command(flatten)]
    sources: Sources,
    /// Log each request
    #[arg(short, long)]
    verbose: bool,
}

/// Where the configuration comes from. The command line wins over the environment
/// (`SHOAL_ANNOUNCE__INTERVAL=900`), that over the file, that over the defaults.
#[derive(Args, Debug)]
struct Sources {
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file; without it the one that SHOAL_CONFIG names, or the text in \
                SHOAL_CONFIG_TOML, or the built-in defaults"
    )]
    config: Option<PathBuf>,
    /// Give one key a value, such as announce.interval=900, whatever the file and the environment
    /// say; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<Setting>,
}

impl Sources {
    fn load(&self) -> Result<Loaded, Mistakes> {
        config::load(self.config.as_deref(), std::env::vars_os(), &self.set)
    }

    fn reload(&self) -> Result<Loaded, Mistakes> {
        config::reload(self.config.as_deref(), std::env::vars_os(), &self.set)
    }
}

/// Does what the command line of this process asks for.
pub fn main() -> ExitCode {
    if let Some(code) = boot::launch_if_asked() {
        return code;
    }
    boot::shed();
    let cli = Cli::parse();
    match cli.command {
        None => run(&cli.run),
        Some(Command::Run(arguments)) => run(&arguments),
        Some(Command::Config(ConfigCommand::Print { sources })) => print(&sources),
        Some(Command::Config(ConfigCommand::Check { sources })) => check(&sources),
        Some(Command::Query(query)) => query.run(),
        Some(Command::Check(check)) => check.run(),
        Some(Command::Doctor(doctor)) => doctor.run(),
        Some(Command::Torrent(torrent)) => torrent.run(),
        Some(Command::Key(key)) => key.run(),
        Some(Command::Block(block)) => block.run(),
        Some(Command::User(user)) => user.run(),
        Some(Command::Import(import)) => import.run(),
        Some(Command::Completions { shell }) => say(&completions::script(Cli::command(), shell)),
        Some(Command::Man) => match man::page(Cli::command()) {
            Ok(page) => say(&page),
            Err(error) => fail(&format_args!("cannot write the manual page: {error}")),
        },
    }
}

fn run(Run { sources, verbose }: &Run) -> ExitCode {
    let Loaded { config, file, .. } = match sources.load() {
        Ok(loaded) => loaded,
        Err(mistakes) => return fail(&mistakes),
    };
    let logging = match logging::start(&config.log, *verbose, &config.workers.user) {
        Ok(logging) => logging,
        Err(sentence) => return fail(&sentence),
    };
    for path in sources.set.iter().filter_map(Setting::shown_secret) {
        log::warn!(
            "{path} is given on the command line, which every user of this host can read; write it into the \
             configuration, or into the environment"
        );
    }
    let reload = || {
        // Before anything is said about the rest.
        if let Err(sentence) = logging.reopen() {
            log::warn!("{sentence}; the file that is open stays in use");
        }
        let loaded = sources.reload();
        let loaded = loaded.map_err(|mistakes| mistakes.sentences().to_vec())?;
        Ok(loaded.config)
    };
    boot::run(&config, file.as_deref(), &reload)
}

fn print(sources: &Sources) -> ExitCode {
    match sources.load() {
        Ok(Loaded { config, .. }) => say(&config.print()),
        Err(mistakes) => fail(&mistakes),
    }
}

fn check(sources: &Sources) -> ExitCode {
    match sources.load() {
        Ok(Loaded { source, .. }) => say(&format!("{source}: no mistakes\n")),
        Err(mistakes) => fail(&mistakes),
    }
}

/// Writes `text` to standard output. A reader that has gone, such as `head`, has seen enough.
fn say(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&format_args!("cannot write to standard output: {error}")),
    }
}

/// Writes `message` to standard error, if anybody is there to read it.
fn fail(message: &dyn Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
