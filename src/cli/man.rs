//! The manual page: one for all commands, made of what `--help` says.

use std::io;

use clap::Command;
use clap_mangen::Man;

/// What stands behind the commands.
const REST: &str = r".SH SIGNALS
.TP
SIGTERM, SIGINT
Stop in good order, with a last snapshot. A second one ends the process at once.
.TP
SIGHUP
Read the configuration, lists and certificates again and open the log file anew, without a pause.
What takes a restart is said.
.TP
SIGUSR1
Log what has been counted.
.TP
SIGUSR2
Start the program anew, as a process that takes over sockets, store and swarms without a client noticing.
If it cannot, this one serves on and says why.
.SH EXIT STATUS
0 when all is well, 1 when what was asked for failed, 2 when it was asked for wrongly.
.SH ENVIRONMENT
.TP
SHOAL_SECTION__KEY
A value for a key of the configuration, such as SHOAL_ANNOUNCE__INTERVAL=900. It wins over the file,
and \fB\-\-set\fR over it.
.TP
SHOAL_CONFIG, SHOAL_CONFIG_TOML
The file of the configuration, or its text.
.TP
NOTIFY_SOCKET, WATCHDOG_USEC
Set by systemd, which is told when the tracker is ready, reloading and stopping, and that its cores
still turn.
.SH FILES
.TP
/etc/shoal/config.toml
The configuration of the service that Debian's package installs. \fBshoal config print\fR explains every key.
.TP
/var/lib/shoal/shoal\-data
What survives a restart of that service.
";

/// The page in roff, of a command with all its subcommands.
pub(super) fn page(command: Command) -> io::Result<String> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let man = Man::new(command.clone()).title("SHOAL").manual("Shoal");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    page.push_str(".SH COMMANDS\n");
    describe_below(&command, "shoal", &mut page)?;
    page.push_str(REST);
    Ok(page)
}

/// Appends a part for each subcommand that can be asked for, and for those below it.
fn describe_below(command: &Command, name: &str, page: &mut String) -> io::Result<()> {
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        let name = format!("{name} {}", below.get_name());
        if below.has_subcommands() {
            describe_below(below, &name, page)?;
            continue;
        }
        let man = Man::new(below.clone());
        page.extend([".SS \"", &name, "\"\n"]);
        append(page, |out| man.render_synopsis_section(out))?;
        page.push_str(".PP\n");
        append(page, |out| man.render_description_section(out))?;
        append(page, |out| man.render_options_section(out))?;
    }
    Ok(())
}

/// Appends a section without its heading, which would be one of the whole page.
fn append(
    page: &mut String,
    section: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut text = Vec::new();
    section(&mut text)?;
    for line in String::from_utf8_lossy(&text).lines() {
        if !line.starts_with(".SH ") {
            page.extend([line, "\n"]);
        }
    }
    Ok(())
}
