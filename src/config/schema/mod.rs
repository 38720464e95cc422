//! The one table of all sections and keys. Reading, refusing, overriding and printing all walk it,
//! so a key that stands here is known everywhere, and one that does not is known nowhere.

mod answers;
mod control;
mod listeners;
mod process;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::key::Key;
use super::source::PREFIX;
use super::{Config, HttpAddress, HttpListener, UdpListener};
use answers::{ACCESS, ANNOUNCE, FLOOD, SCRAPE};
use control::CONTROL;
use listeners::{CONNECTIONS, HTTP, HTTP_LISTEN, UDP, UDP_LISTEN};
use process::{LOG, SANDBOX, STORE, SWARM, WORKERS};

pub(super) use answers::PEER_TIMEOUT_S;

/// Stands in for the address of a row until that has been read.
const UNREAD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A section of the file.
pub(super) struct Section {
    pub(super) name: &'static str,
    /// What it is about; printed above it.
    pub(super) doc: &'static str,
    pub(super) shape: Shape,
    pub(super) keys: &'static [Key],
}

/// How often a section may stand in a file.
pub(super) enum Shape {
    /// Once: `[name]`.
    Table,
    /// Any number of times: `[[name]]`, each a row of a list.
    Tables(Rows),
}

/// The rows of a `[[name]]`.
pub(super) struct Rows {
    pub(super) count: fn(&Config) -> usize,
    pub(super) clear: fn(&mut Config),
    /// Appends a row, with a stand-in for the key that it needs.
    pub(super) push: fn(&mut Config),
    /// The key that every row must have; the environment and the command line give a list of it,
    /// which makes the rows.
    pub(super) needs: &'static Key,
}

/// Every section, in the order in which they are printed.
pub(super) static SECTIONS: &[Section] = &[
    Section {
        name: "workers",
        doc: "The threads: those that own swarms and UDP sockets, and those that serve HTTP.",
        shape: Shape::Table,
        keys: WORKERS,
    },
    Section {
        name: "udp",
        doc: "Where UDP is served, one [[udp]] for each address. Without any, 0.0.0.0:6969 and\n\
              [::]:6969 are, and one whose address family this host lacks is a warning; a\n\
              listener that is written down must come up. \"udp = []\" above all sections, or an\n\
              empty SHOAL_UDP__LISTEN, is no UDP at all.",
        shape: Shape::Tables(Rows {
            count: |config| config.udp.len(),
            clear: |config| config.udp.clear(),
            push: |config| {
                config.udp.push(UdpListener {
                    listen: UNREAD,
                    required: true,
                });
            },
            needs: &UDP_LISTEN,
        }),
        keys: UDP,
    },
    Section {
        name: "http",
        doc: "Where HTTP or HTTPS is served, one [[http]] for each address, with the same defaults\n\
              as UDP. \"http = []\" above all sections, or an empty SHOAL_HTTP__LISTEN, is no HTTP\n\
              at all.",
        shape: Shape::Tables(Rows {
            count: |config| config.http.len(),
            clear: |config| config.http.clear(),
            push: |config| {
                let listen = HttpAddress::Tcp(UNREAD);
                config.http.push(HttpListener::plain(listen));
            },
            needs: &HTTP_LISTEN,
        }),
        keys: HTTP,
    },
    Section {
        name: "connections",
        doc: "The connections of all [[http]] listeners together.",
        shape: Shape::Table,
        keys: CONNECTIONS,
    },
    Section {
        name: "announce",
        doc: "What an announce is answered.",
        shape: Shape::Table,
        keys: ANNOUNCE,
    },
    Section {
        name: "scrape",
        doc: "What a scrape is answered.",
        shape: Shape::Table,
        keys: SCRAPE,
    },
    Section {
        name: "swarm",
        doc: "The peers in memory.",
        shape: Shape::Table,
        keys: SWARM,
    },
    Section {
        name: "access",
        doc: "Who may speak.",
        shape: Shape::Table,
        keys: ACCESS,
    },
    Section {
        name: "flood",
        doc: "How much one source may ask for: an IPv4 address, or an IPv6 network of 64 bits. Nobody is\n\
              banned: who is over the limit is served again as soon as he is not (docs/floods.md). Read\n\
              again on SIGHUP.",
        shape: Shape::Table,
        keys: FLOOD,
    },
    Section {
        name: "control",
        doc: "Where the tracker is looked after: the API (docs/api.md) and the pages for people.",
        shape: Shape::Table,
        keys: CONTROL,
    },
    Section {
        name: "store",
        doc: "What survives a restart: torrents with their peers, how often they were completed, and the\n\
              key of the connection ids, so that those that clients hold stay good.",
        shape: Shape::Table,
        keys: STORE,
    },
    Section {
        name: "log",
        doc: "What is written about the tracker's work, and where to.",
        shape: Shape::Table,
        keys: LOG,
    },
    Section {
        name: "sandbox",
        doc: "What the process gives up for good once its ports are bound, so that whoever breaks into it\n\
              finds little. A kernel that lacks one of them is told in the log. docs/sandbox.md has more.",
        shape: Shape::Table,
        keys: SANDBOX,
    },
];

/// The section called `name`.
pub(super) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// Every key with its section, in printing order.
pub(super) fn keys() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    SECTIONS
        .iter()
        .flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

/// A key as one environment variable or one `--set` names it.
#[derive(Clone, Copy)]
pub(super) struct Bare {
    pub(super) section: &'static Section,
    /// The table in the section where it stands.
    pub(super) table: Option<&'static Key>,
    pub(super) key: &'static Key,
}

impl Bare {
    /// Its names from the outside to the inside.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let table = self.table.map(|table| table.name);
        [Some(self.section.name), table, Some(self.key.name)]
            .into_iter()
            .flatten()
    }

    /// The environment variable: `SHOAL_ANNOUNCE__INTERVAL`.
    pub(super) fn variable(&self) -> String {
        let names: Vec<_> = self.names().collect();
        format!("{PREFIX}{}", names.join("__")).to_uppercase()
    }

    /// The `--set` path: `announce.interval`.
    pub(super) fn path(&self) -> String {
        let names: Vec<_> = self.names().collect();
        names.join(".")
    }
}

/// Every key that one environment variable or `--set` can give; of a table of secrets they name each.
pub(super) fn bare_keys() -> impl Iterator<Item = Bare> {
    keys().flat_map(|(section, key)| {
        let (whole, inner) = match &section.shape {
            Shape::Table => (key.as_inner().is_none(), key.as_inner()),
            Shape::Tables(rows) => (rows.needs.name == key.name, None),
        };
        let whole = whole.then_some(Bare {
            section,
            table: None,
            key,
        });
        let inner = inner.map_or(&[][..], |inner| inner.keys);
        whole.into_iter().chain(inner.iter().map(move |inner| Bare {
            section,
            table: Some(key),
            key: inner,
        }))
    })
}

impl Section {
    /// The line that opens it in a file.
    pub(super) fn header(&self) -> String {
        match self.shape {
            Shape::Table => format!("[{}]", self.name),
            Shape::Tables(_) => format!("[[{}]]", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name of a section or key, with those of tables in it.
    fn names_of(section: &Section) -> Vec<&'static str> {
        let inner = |key: &'static Key| key.as_inner().map_or(&[][..], |inner| inner.keys);
        let keys = section.keys.iter();
        keys.flat_map(|key| std::iter::once(key).chain(inner(key)))
            .map(|key| key.name)
            .collect()
    }

    #[test]
    fn names_are_told_apart_by_environment_variables() {
        for section in SECTIONS {
            for name in names_of(section).into_iter().chain([section.name]) {
                assert!(!name.contains("__"), "{name}");
                assert!(!name.starts_with('_') && !name.ends_with('_'), "{name}");
                assert_eq!(name, name.to_lowercase());
            }
        }
    }

    #[test]
    fn the_place_of_a_key_is_noted_under_a_name_that_its_section_has_once() {
        for section in SECTIONS {
            let mut names = names_of(section);
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{}", section.name);
        }
    }

    #[test]
    fn the_key_that_makes_the_rows_is_a_key_that_they_need() {
        for section in SECTIONS {
            if let Shape::Tables(rows) = &section.shape {
                let key = section.keys.iter().find(|key| key.name == rows.needs.name);
                assert!(key.is_some_and(|key| key.is_needed), "{}", section.name);
            }
        }
    }
}
