//! The files that `--fix` writes: settings of the kernel, and rules that keep our ports out of connection
//! tracking. They are shown before they are written, and nothing of them is loaded: that is one command
//! each, which is told.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::conntrack;
use super::host::Host;
use super::network::udp_ports;
use super::sysctl;
use crate::config::Config;

/// A file that should be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropIn {
    /// Where, from the root on.
    pub path: &'static str,
    /// Every byte.
    pub content: String,
    /// The commands that put it into force.
    pub next: Vec<String>,
}

/// What became of writing it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// The file.
    pub file: DropIn,
    /// Where it stands now.
    pub path: PathBuf,
    /// The error is one sentence.
    pub result: Result<(), String>,
}

const SYSCTL_PATH: &str = "/etc/sysctl.d/60-shoal.conf";
const NFT_PATH: &str = "/etc/nftables.d/60-shoal.nft";
const NFT_MAIN: &str = "/etc/nftables.conf";
const NFT_INCLUDE: &str = "include \"/etc/nftables.d/*.nft\"";

const NFT_HEAD: &str = "\
# Keeps the UDP ports of Shoal out of connection tracking, which has an entry for every peer and drops
# packets when its table is full. Written by `shoal doctor --fix`.
#
# /etc/nftables.conf reads this file when its last line is
#   include \"/etc/nftables.d/*.nft\"
#
# What is not tracked is in no state: rules such as \"ct state established accept\" do not see it, so the
# ports must be open by a rule of their own, such as \"udp dport 6969 accept\". Address translation needs
# tracking: leave this file out where these ports are forwarded, to a container for example.

# Read twice, it still makes one table.
table inet shoal
delete table inet shoal

";

/// The files for this configuration. Without a fixed UDP port there are no rules.
pub fn drop_ins(config: &Config, host: &Host) -> Vec<DropIn> {
    let mut files = vec![DropIn {
        path: SYSCTL_PATH,
        content: sysctl::drop_in(config, host),
        next: vec![format!("sysctl -p {SYSCTL_PATH}")],
    }];
    let ports = udp_ports(config);
    if !ports.is_empty() {
        let mut next = vec![format!("nft -f {NFT_PATH}")];
        let main = host.read(&NFT_MAIN[1..]).unwrap_or_default();
        if !main.lines().any(|line| line.trim() == NFT_INCLUDE) {
            next.push(format!("echo '{NFT_INCLUDE}' >> {NFT_MAIN}"));
        }
        files.push(DropIn {
            path: NFT_PATH,
            content: format!("{NFT_HEAD}{}", conntrack::table(&ports)),
            next,
        });
    }
    files
}

/// Each file with a line that says where it goes.
pub fn shown(files: &[DropIn]) -> String {
    let mut text = String::new();
    for file in files {
        let _ = write!(text, "\n==> {}\n{}", file.path, file.content);
    }
    text
}

/// Writes the files below `root`, making folders where need be. One that holds the same is left alone.
pub fn write(files: Vec<DropIn>, root: &Path) -> Vec<Written> {
    let written = files.into_iter().map(|file| {
        let path = root.join(file.path.trim_start_matches('/'));
        let result = write_one(&path, &file.content);
        let result = result.map_err(|error| {
            let path = path.display();
            format!("cannot write {path}: {error}; as root it can, or put there what is shown")
        });
        Written { file, path, result }
    });
    written.collect()
}

fn write_one(path: &Path, content: &str) -> std::io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == content.as_bytes()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

/// What was written, and what is left to do.
pub fn told(written: &[Written]) -> String {
    let mut text = String::new();
    for one in written.iter().filter(|one| one.result.is_ok()) {
        let path = one.path.display();
        let _ = writeln!(text, "wrote {path}; to put it into force:");
        for command in &one.file.next {
            let _ = writeln!(text, "    {command}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::MadeUp;

    #[test]
    fn both_files_are_written_where_they_belong_and_once() {
        let made_up = MadeUp::with(&[]);
        let config = Config::default();
        let files = drop_ins(&config, &made_up.host());
        let text = shown(&files);
        assert!(text.contains("==> /etc/sysctl.d/60-shoal.conf\n"), "{text}");
        assert!(text.contains("udp dport { 6969 } notrack;"), "{text}");
        let written = write(files.clone(), made_up.root());
        assert!(written.iter().all(|one| one.result.is_ok()), "{written:?}");
        for file in &files {
            let there = made_up.host().read(&file.path[1..]).unwrap();
            assert_eq!(there, file.content.trim());
        }
        let text = told(&written);
        assert!(text.contains("nft -f /etc/nftables.d/60-shoal.nft\n"));
        assert!(text.contains("sysctl -p /etc/sysctl.d/60-shoal.conf\n"));
        assert_eq!(write(files, made_up.root()), written);
    }

    #[test]
    fn the_rules_are_included_unless_they_are() {
        let made_up = MadeUp::with(&[]);
        let config = Config::default();
        let nft = |made_up: &MadeUp| drop_ins(&config, &made_up.host()).remove(1);
        let next = nft(&made_up).next;
        assert_eq!(
            next[1],
            "echo 'include \"/etc/nftables.d/*.nft\"' >> /etc/nftables.conf"
        );
        made_up.write(
            "etc/nftables.conf",
            "flush ruleset\ninclude \"/etc/nftables.d/*.nft\"\n",
        );
        assert_eq!(nft(&made_up).next.len(), 1);
    }

    #[test]
    fn without_a_fixed_udp_port_there_are_no_rules() {
        let made_up = MadeUp::with(&[]);
        let mut config = Config::default();
        for udp in &mut config.udp {
            udp.listen.set_port(0);
        }
        assert_eq!(drop_ins(&config, &made_up.host()).len(), 1);
        config.udp.clear();
        assert_eq!(drop_ins(&config, &made_up.host()).len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let made_up = MadeUp::with(&[("etc", "a file where the folder should be")]);
        let written = write(
            drop_ins(&Config::default(), &made_up.host()),
            made_up.root(),
        );
        for one in &written {
            let sentence = one.result.as_ref().unwrap_err();
            assert!(sentence.contains(one.file.path), "{sentence}");
        }
        assert_eq!(told(&written), "");
    }
}
