//! What a shell must know to complete the command line.

use clap::Command;
use clap_complete::{Shell, generate};

/// The script by which `shell` completes `command`.
pub(super) fn script(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
