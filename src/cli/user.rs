//! `shoal user`: passwords for the pages of the tracker.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use clap::Subcommand;
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use super::api::{Fault, exit};
use super::say;

/// Most bytes of a password; nobody remembers more.
const PASSWORD_LEN_MAX: usize = 1024;

/// What is done with users.
#[derive(Subcommand, Debug)]
pub(super) enum User {
    #[command(
        about = "Make the hash of a password, for a line of [control.users]",
        long_about = "Make the hash of a password, for a line of [control.users]\n\n\
                      The password is asked for twice on a terminal, without showing it, or is the first \
                      line of the standard input. What is printed goes into the configuration:\n\n  \
                      [control.users]\n  admin = \"$argon2id$...\""
    )]
    Hash,
}

impl User {
    /// Does it, prints, and gives the exit code.
    pub(super) fn run(&self) -> ExitCode {
        match self {
            Self::Hash => exit(hash()),
        }
    }
}

fn hash() -> Result<ExitCode, Fault> {
    let failed = |error: &io::Error| Fault::Failed(format!("no password: {error}"));
    let password = if io::stdin().is_terminal() {
        let first = ask("Password: ").map_err(|error| failed(&error))?;
        let second = ask("The same again: ").map_err(|error| failed(&error))?;
        if first != second {
            return Err(Fault::Failed("the passwords differ".to_owned()));
        }
        first
    } else {
        line().map_err(|error| failed(&error))?
    };
    if password.is_empty() {
        return Err(Fault::Failed("an empty password is none".to_owned()));
    }
    let hash = Argon2::default()
        .hash_password(&password)
        .map_err(|error| Fault::Failed(format!("the password cannot be hashed: {error}")))?;
    Ok(say(&format!("{hash}\n")))
}

/// One line of the standard input, without its end.
fn line() -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let most = PASSWORD_LEN_MAX as u64 + 3;
    io::stdin().lock().take(most).read_until(b'\n', &mut line)?;
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    if line.len() > PASSWORD_LEN_MAX {
        let text = format!("it has more than {PASSWORD_LEN_MAX} bytes");
        return Err(io::Error::other(text));
    }
    Ok(line)
}

/// Asks on the terminal, which does not show what is typed.
fn ask(prompt: &str) -> io::Result<Vec<u8>> {
    let mut stderr = io::stderr();
    stderr.write_all(prompt.as_bytes())?;
    stderr.flush()?;
    let silence = Silence::begin()?;
    let line = line();
    drop(silence);
    writeln!(stderr)?;
    line
}

/// A terminal that shows nothing; it is as before once this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        // What was typed ahead was shown, so it counts for nothing.
        termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}
