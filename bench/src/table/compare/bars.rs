//! Bars as a picture: SVG made of rectangles and text, which follows the reader's light or dark ground.

use std::fmt::Write as _;

use crate::svg::escaped;

const WIDTH: f64 = 800.0;
/// Where bars begin, and where the longest ends.
const LEFT: f64 = 120.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 54.0;
const TITLE_Y: f64 = 30.0;
/// Height of a group's heading, of a bar with the gap below it, and of the gap below a group.
const HEADING: f64 = 24.0;
const ROW: f64 = 20.0;
const BAR: f64 = 15.0;
const GAP: f64 = 12.0;

/// One picture. Groups have nothing to do with each other: each has a scale of its own.
pub(in crate::table) struct Picture {
    /// Name of the file, without ending.
    pub(in crate::table) name: &'static str,
    pub(super) title: String,
    pub(super) groups: Vec<Group>,
}

/// Bars that are compared with each other.
pub(super) struct Group {
    pub(super) heading: String,
    pub(super) bars: Vec<Bar>,
}

/// The figure of one server.
pub(super) struct Bar {
    pub(super) server: String,
    /// What the bar is made of, from the left; the second part and on are drawn fainter.
    pub(super) parts: Vec<f64>,
    /// Stands behind the bar.
    pub(super) label: String,
}

impl Bar {
    fn sum(&self) -> f64 {
        self.parts.iter().sum()
    }
}

/// Colours on light and on dark ground, told apart by those who see them differently, too (Okabe and Ito).
const STYLE: &str = "<style>\
text{fill:#222}.ground{fill:#fdfdfb}.shoal{fill:#0072b2}.other{fill:#b8610b}.echo{fill:#8a8a8a}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#16181c}.shoal{fill:#56b4e9}\
.other{fill:#e69f00}.echo{fill:#777}}\
</style>";

pub(in crate::table) fn svg(picture: &Picture) -> String {
    let height = TOP
        + picture
            .groups
            .iter()
            .map(|group| HEADING + ROW * group.bars.len() as f64 + GAP)
            .sum::<f64>();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n{STYLE}\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text x=\"20\" y=\"{TITLE_Y}\" font-size=\"17\">{}</text>\n",
        escaped(&picture.title)
    );
    let mut y = TOP;
    for group in &picture.groups {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(
            out,
            "<text x=\"20\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
            y + 14.0,
            escaped(&group.heading)
        );
        y += HEADING;
        let longest = group.bars.iter().map(Bar::sum).fold(0.0, f64::max);
        for bar in &group.bars {
            draw(&mut out, bar, longest, y);
            y += ROW;
        }
        y += GAP;
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, bar: &Bar, longest: f64, y: f64) {
    let class = match bar.server.as_str() {
        "shoal" => "shoal",
        "echo" => "echo",
        _ => "other",
    };
    let text_y = y + BAR - 3.0;
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{text_y:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 8.0,
        escaped(&bar.server)
    );
    let mut x = LEFT;
    for (number, part) in bar.parts.iter().enumerate() {
        let width = (RIGHT - LEFT) * part / longest.max(f64::MIN_POSITIVE);
        let opacity = if number == 0 { 1.0 } else { 0.55 };
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" \
             fill-opacity=\"{opacity}\"/>"
        );
        x += width;
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{text_y:.1}\">{}</text>",
        x + 8.0,
        escaped(&bar.label)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(server: &str, parts: Vec<f64>) -> Bar {
        Bar {
            server: server.into(),
            parts,
            label: String::from("7 & more"),
        }
    }

    #[test]
    fn the_longest_bar_of_each_group_reaches_the_end() {
        let group = |bars| Group {
            heading: String::from("a < b"),
            bars,
        };
        let drawn = svg(&Picture {
            name: "name",
            title: String::from("Title"),
            groups: vec![
                group(vec![bar("shoal", vec![1.0]), bar("a", vec![1.0, 3.0])]),
                group(vec![bar("a", vec![1e6])]),
            ],
        });
        for width in ["130.0", "390.0", "520.0"] {
            assert!(drawn.contains(&format!("width=\"{width}\"")), "{drawn}");
        }
        assert!(
            drawn.contains("a &lt; b") && drawn.contains("7 &amp; more"),
            "{drawn}"
        );
        assert!(drawn.contains("prefers-color-scheme:dark"), "{drawn}");
    }

    #[test]
    fn nothing_at_all_can_be_drawn() {
        let drawn = svg(&Picture {
            name: "name",
            title: String::new(),
            groups: vec![Group {
                heading: String::new(),
                bars: vec![bar("a", vec![0.0]), bar("b", vec![])],
            }],
        });
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
