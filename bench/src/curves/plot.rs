//! A curve as a picture: SVG, made of lines and text, on a light ground so that it can be read wherever it is
//! shown.

use std::fmt::Write as _;

use super::sample::Cost;
use super::{Axis, Curve};
use crate::svg::escaped;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 460.0;
/// Where the plot lies in the picture.
const LEFT: f64 = 80.0;
const RIGHT: f64 = WIDTH - 30.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = HEIGHT - 60.0;
/// Height of a line of the legend, which stands above the plot.
const LEGEND: f64 = 18.0;

/// Told apart by those who see colours differently, too (Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555", "#e69f00",
];

/// An axis with its ends.
struct Scale {
    is_log: bool,
    min: f64,
    max: f64,
}

impl Scale {
    /// From 0 to a little above the highest figure; of logarithms, from the lowest to the highest, or as
    /// far as whole decades go if that is less than one.
    fn around(axis: Axis, figures: impl Iterator<Item = f64>) -> Self {
        let figures: Vec<f64> = figures
            .filter(|figure| *figure > 0.0 || !axis.is_log)
            .collect();
        let highest = figures.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let lowest = figures.iter().copied().fold(highest, f64::min);
        let (min, max) = (lowest.log10(), highest.log10());
        let (min, max) = match axis.is_log {
            false => (0.0, highest * 1.2),
            true if max - min < 1.0 => (min.floor(), max.ceil().max(min.floor() + 1.0)),
            true => (min, max),
        };
        Self {
            is_log: axis.is_log,
            min,
            max,
        }
    }

    /// How far along the axis a figure lies, 0 to 1.
    fn place(&self, figure: f64) -> f64 {
        let figure = if self.is_log {
            figure.max(f64::MIN_POSITIVE).log10()
        } else {
            figure
        };
        ((figure - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }

    /// Figures that a line is drawn for: decades, or five to ten round numbers.
    fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            // Widened a little, lest a decade at the end fall off by rounding.
            let (first, last) = ((self.min - 1e-9).ceil(), (self.max + 1e-9).floor());
            return (0..=20)
                .map(|step| first + f64::from(step))
                .take_while(|power| *power <= last)
                .map(|power| 10_f64.powf(power))
                .collect();
        }
        let power = 10_f64.powf((self.max / 5.0).log10().floor());
        let rough = self.max / 5.0 / power;
        let step = power
            * if rough < 2.0 {
                1.0
            } else if rough < 5.0 {
                2.0
            } else {
                5.0
            };
        (0..=20)
            .map(|count| f64::from(count) * step)
            .take_while(|figure| *figure <= self.max)
            .collect()
    }
}

pub(crate) fn svg(curve: &Curve) -> String {
    let points = || curve.series.iter().flat_map(|series| &series.points);
    let x = Scale::around(curve.x, points().map(|(x, _)| *x));
    // Not by the deciles: one of them that is far off would flatten all lines.
    let y = Scale::around(curve.y, points().map(|(_, cost)| cost.median));
    let top = TOP + LEGEND * curve.series.len() as f64;
    let at_x = |figure| LEFT + (RIGHT - LEFT) * x.place(figure);
    let at_y = |figure| BOTTOM - (BOTTOM - top) * y.place(figure);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fdfdfb\"/>\n\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"17\">{}</text>\n",
        escaped(curve.title)
    );
    // Writing to a String does not fail, here and below.
    for tick in x.ticks() {
        let at = at_x(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {top:.1}V{BOTTOM}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 18.0,
            short(tick)
        );
    }
    for tick in y.ticks() {
        let at = at_y(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.5,
            short(tick)
        );
    }
    let (middle_x, middle_y) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(top, BOTTOM));
    let _ = writeln!(
        out,
        "<text x=\"{middle_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
         <text transform=\"translate(22 {middle_y:.1})rotate(-90)\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 16.0,
        escaped(curve.x.label),
        escaped(curve.y.label)
    );
    for (number, series) in curve.series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let legend_y = TOP + LEGEND * number as f64;
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {:.1}h22\" stroke=\"{colour}\" stroke-width=\"2.5\"/>\
             <text x=\"{:.1}\" y=\"{legend_y:.1}\">{}</text>",
            legend_y - 4.5,
            LEFT + 30.0,
            escaped(&series.name)
        );
        let mut path = String::new();
        for (x, Cost { low, median, high }) in &series.points {
            let (at, to) = (at_x(*x), at_y(*median));
            let verb = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{at:.1} {to:.1}");
            let _ = writeln!(
                out,
                "<path d=\"M{at:.1} {:.1}V{:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.35\" \
                 stroke-width=\"3\"/><circle cx=\"{at:.1}\" cy=\"{to:.1}\" r=\"3\" fill=\"{colour}\"/>",
                at_y(*low),
                at_y(*high)
            );
        }
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
    }
    out.push_str("</svg>\n");
    out
}

/// 1500 as 1.5k.
fn short(figure: f64) -> String {
    let (figure, unit) = match figure {
        ..1e3 => (figure, ""),
        ..1e6 => (figure / 1e3, "k"),
        _ => (figure / 1e6, "M"),
    };
    // No more digits than it has, three behind the point at most.
    let text = format!("{figure:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    #[test]
    fn decades_are_as_far_from_each_other_and_plain_numbers_begin_at_zero() {
        let log = Scale::around(Axis::log("x"), [10.0, 4000.0, 10_000.0].into_iter());
        assert_eq!(log.ticks(), [10.0, 100.0, 1000.0, 10_000.0]);
        assert!((log.place(100.0) - 1.0 / 3.0).abs() < 1e-9);
        let short = Scale::around(Axis::log("x"), [20.0, 70.0].into_iter());
        assert_eq!(short.ticks(), [10.0, 100.0]);
        let linear = Scale::around(Axis::linear("x"), [120.0, 430.0].into_iter());
        assert_eq!(linear.ticks(), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert!((linear.place(0.0), linear.place(9e9)) == (0.0, 1.0));
    }

    #[test]
    fn nothing_and_a_single_point_can_be_drawn() {
        let curve = |points| Curve {
            name: "name",
            title: "a < b & c",
            text: String::new(),
            x: Axis::log("x"),
            y: Axis::log("y"),
            series: vec![Series {
                name: String::from("one"),
                points,
            }],
        };
        for points in [vec![], vec![(1.0, Cost::exactly(5.0))]] {
            let drawn = svg(&curve(points));
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
            assert!(drawn.contains("a &lt; b &amp; c"), "{drawn}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.01, 0.5, 1.0, 999.0, 1500.0, 3e6].map(short);
        assert_eq!(shown, ["0", "0.01", "0.5", "1", "999", "1.5k", "3M"]);
    }
}
