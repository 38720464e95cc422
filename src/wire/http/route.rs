//! What the path of a request asks for. Clients make the scrape's path from the announce's by
//! putting `scrape` for `announce`, so both are known in the same shapes.

use super::head::Target;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route<'a> {
    /// An announce.
    Announce {
        /// The key in its path, if it has one, as it was sent.
        key: Option<&'a [u8]>,
    },
    /// A scrape.
    Scrape {
        /// The key in its path, if it has one, as it was sent.
        key: Option<&'a [u8]>,
    },
    /// What crawlers may look at.
    Robots,
    /// Is the tracker alive?
    HealthCheck,
    /// Nothing that a tracker has.
    Unknown,
}

/// Reads the path; one slash at its end does not matter.
///
/// ```text
/// /announce  /a  /KEY/announce  /KEY/a  /announce/KEY  /any/thing/announce  /any/thing/a
/// /scrape    /s  /KEY/scrape    /KEY/s  /scrape/KEY    /any/thing/scrape    /any/thing/s
/// /?query        an announce to a URL without a path
/// /robots.txt    /health_check
/// ```
///
/// A key is a whole segment and not empty; it has none beside it but the route's name.
pub fn route<'a>(target: &Target<'a>) -> Route<'a> {
    let path = target.path;
    if path == b"/" {
        return match target.query {
            None | Some([]) => Route::Unknown,
            Some(_) => Route::Announce { key: None },
        };
    }
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else {
        return Route::Unknown;
    };
    let (parents, last) = (&path[..slash], &path[slash + 1..]);
    match (parents, last) {
        (b"", b"robots.txt") => Route::Robots,
        (b"", b"health_check") => Route::HealthCheck,
        (_, b"announce") => Route::Announce {
            key: only_segment(parents),
        },
        (_, b"scrape") => Route::Scrape {
            key: only_segment(parents),
        },
        // Before the short names, or a key could not be `a` or `s`.
        (b"/announce", [_, ..]) => Route::Announce { key: Some(last) },
        (b"/scrape", [_, ..]) => Route::Scrape { key: Some(last) },
        (_, b"a") => Route::Announce {
            key: only_segment(parents),
        },
        (_, b"s") => Route::Scrape {
            key: only_segment(parents),
        },
        _ => Route::Unknown,
    }
}

fn only_segment(parents: &[u8]) -> Option<&[u8]> {
    let segment = parents.strip_prefix(b"/")?;
    (!segment.is_empty() && !segment.contains(&b'/')).then_some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(target: &str) -> Route<'_> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (target, None),
        };
        route(&Target {
            path: path.as_bytes(),
            query,
        })
    }

    fn announce(key: Option<&str>) -> Route<'_> {
        Route::Announce {
            key: key.map(str::as_bytes),
        }
    }

    fn scrape(key: Option<&str>) -> Route<'_> {
        Route::Scrape {
            key: key.map(str::as_bytes),
        }
    }

    #[test]
    fn announces_and_scrapes_are_known_under_all_their_paths() {
        for path in [
            "/announce",
            "/announce/",
            "/a",
            "/a/",
            "/x/y/announce",
            "/x/y/z/a",
        ] {
            assert_eq!(routed(path), announce(None), "{path}");
            assert_eq!(
                routed(&format!("{path}?x=/scrape")),
                announce(None),
                "{path}"
            );
        }
        for path in [
            "/scrape",
            "/scrape/",
            "/s",
            "/s/",
            "/x/y/scrape",
            "/x/y/z/s",
            "//s",
        ] {
            assert_eq!(routed(path), scrape(None), "{path}");
        }
    }

    #[test]
    fn a_key_stands_before_or_behind() {
        for path in ["/KEY/announce", "/KEY/a", "/announce/KEY", "/announce/KEY/"] {
            assert_eq!(routed(path), announce(Some("KEY")), "{path}");
        }
        for path in ["/KEY/scrape", "/KEY/s/", "/scrape/KEY"] {
            assert_eq!(routed(path), scrape(Some("KEY")), "{path}");
        }
        assert_eq!(routed("/announce/s"), announce(Some("s")));
        assert_eq!(routed("/scrape/a"), scrape(Some("a")));
    }

    #[test]
    fn the_root_announces_only_with_a_query() {
        assert_eq!(routed("/?info_hash=x"), announce(None));
        assert_eq!(routed("/?"), Route::Unknown);
        assert_eq!(routed("/"), Route::Unknown);
    }

    #[test]
    fn robots_and_health_checks_have_one_path_each() {
        assert_eq!(routed("/robots.txt"), Route::Robots);
        assert_eq!(routed("/health_check"), Route::HealthCheck);
        assert_eq!(routed("/x/robots.txt"), Route::Unknown);
        assert_eq!(routed("/x/health_check"), Route::Unknown);
    }

    #[test]
    fn everything_else_is_unknown() {
        for path in [
            "/favicon.ico",
            "/Announce",
            "/announces",
            "/xannounce",
            "/announce.php",
            "/announce//",
            "/announce/x/y",
            "/x/announce/KEY",
            "/a/KEY",
            "announce",
            "*",
            "h:443",
            "",
            "//",
            "/%61nnounce",
        ] {
            assert_eq!(routed(path), Route::Unknown, "{path}");
        }
    }
}
