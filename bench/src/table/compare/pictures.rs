//! What of the page is drawn, too.

use super::bars::{Bar, Group, Picture};
use super::{
    FAMILIES, HTTP_PER_S, HTTP_SYSTEM, HTTP_USER, LATENCIES, PER_S, SHAPES, SYSTEM, USER, resident,
};
use crate::table::page::{tenths, whole};
use crate::table::{Results, http};

/// All pictures; those of what was not measured have no groups.
pub(in crate::table) fn draw(results: &Results) -> Vec<Picture> {
    let single = |heading: &str, phase: &str, pointer: &str, scale: f64| {
        let figure = |server: &str| results.median(server, phase, pointer);
        group(results, heading, |server| {
            let figure = figure(server)? / scale;
            Some((vec![figure], short(figure)))
        })
    };
    let split = |heading: &str, phase: &str, [user, system]: [&str; 2]| {
        group(results, heading, |server| {
            let parts = [user, system].map(|pointer| results.median(server, phase, pointer));
            let [Some(user), Some(system)] = parts else {
                return None;
            };
            let label = format!("{} + {}", short(user), short(system));
            Some((vec![user, system], label))
        })
    };
    let picture = |name, title: &str, groups: Vec<Group>| Picture {
        name,
        title: title.into(),
        groups: groups
            .into_iter()
            .filter(|it| !it.bars.is_empty())
            .collect(),
    };
    let memory = SHAPES.map(|(phase, shape)| {
        group(results, shape, |server| {
            let mib = resident(results, server, phase)? / 1024.0;
            Some((vec![mib], short(mib)))
        })
    });
    let families = FAMILIES.iter();
    vec![
        picture(
            "udp-rate",
            "Responses per second, one CPU, saturated",
            families
                .clone()
                .map(|(over, phase, _)| single(over, phase, PER_S, 1.0))
                .collect(),
        ),
        picture(
            "udp-cpu",
            "CPU ns per response, saturated: user + system",
            families
                .clone()
                .map(|(over, phase, _)| split(over, phase, [USER, SYSTEM]))
                .collect(),
        ),
        picture(
            "udp-latency",
            "Latency at the fixed rate, us",
            families
                .flat_map(|(over, _, phase)| {
                    LATENCIES.map(|(name, pointer)| {
                        single(&format!("{over}, {name}"), phase, pointer, 1.0)
                    })
                })
                .collect(),
        ),
        picture("memory", "Resident MiB, torrents x peers", memory.into()),
        picture(
            "http-rate",
            "Announces per second over HTTP, one CPU, saturated",
            http::LOADS
                .map(|(load, asked)| single(asked, load, HTTP_PER_S, 1.0))
                .into(),
        ),
        picture(
            "http-cpu",
            "CPU us per announce over HTTP: user + system",
            http::LOADS
                .map(|(load, asked)| split(asked, load, [HTTP_USER, HTTP_SYSTEM]))
                .into(),
        ),
    ]
}

fn group(
    results: &Results,
    heading: &str,
    bar: impl Fn(&str) -> Option<(Vec<f64>, String)>,
) -> Group {
    let bars = results.servers().into_iter().filter_map(|server| {
        let (parts, label) = bar(server)?;
        Some(Bar {
            server: server.into(),
            parts,
            label,
        })
    });
    Group {
        heading: heading.into(),
        bars: bars.collect(),
    }
}

/// Tenths where they matter.
fn short(figure: f64) -> String {
    if figure < 100.0 {
        tenths(Some(figure))
    } else {
        whole(Some(figure))
    }
}
