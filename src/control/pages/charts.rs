//! Bars and lines. They are SVG that the server draws, so a page without scripts has them too.

use std::fmt::Write;

use maud::{Markup, html};

use super::words;
use crate::control::history::Point;

/// Units of a chart; it is stretched to its place.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

/// Seconds that the line goes back.
pub(super) const LINE_S: f64 = 300.0;

/// One bar, and what is told of it.
pub(super) struct Bar {
    pub(super) title: String,
    pub(super) value: u64,
    /// What stands behind it in another colour, such as the same hour of yesterday.
    pub(super) before: Option<u64>,
    /// It is not over yet.
    pub(super) is_open: bool,
}

/// Bars side by side. `label` says in words what they are.
pub(super) fn bars(label: &str, bars: &[Bar]) -> Markup {
    let max = top(bars
        .iter()
        .map(|bar| bar.value.max(bar.before.unwrap_or(0)))
        .max());
    let step = WIDTH / bars.len().max(1) as f64;
    let height = |value: u64| {
        let height = value as f64 / max * HEIGHT;
        if value > 0 { height.max(1.0) } else { 0.0 }
    };
    html! {
        div.chart {
            span.top { (words::number(max as u64)) }
            svg.bars viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
                aria-label=(label) {
                (grid())
                @for (at, bar) in bars.iter().enumerate() {
                    @let left = at as f64 * step;
                    g {
                        title { (bar.title) }
                        rect.hit x=(round(left)) y="0" width=(round(step)) height=(HEIGHT) {}
                        @if let Some(before) = bar.before {
                            (rect("before", left + step * 0.08, step * 0.84, height(before)))
                        }
                        @let (margin, class) = match bar.before {
                            Some(_) => (0.26, "bar"),
                            None => (0.12, if bar.is_open { "bar open" } else { "bar" }),
                        };
                        (rect(class, left + step * margin, step * (1.0 - 2.0 * margin), height(bar.value)))
                    }
                }
            }
        }
    }
}

fn rect(class: &str, x: f64, width: f64, height: f64) -> Markup {
    html! {
        rect class=(class) x=(round(x)) y=(round(HEIGHT - height)) width=(round(width))
            height=(round(height)) {}
    }
}

fn grid() -> Markup {
    html! {
        @for part in 0..3 {
            @let y = HEIGHT * f64::from(part) / 4.0 + HEIGHT / 4.0;
            line.grid x1="0" x2=(WIDTH) y1=(y) y2=(y) vector-effect="non-scaling-stroke" {}
        }
    }
}

/// Bars of 100 that lie behind one another: what share each part has.
pub(super) fn stack(label: &str, parts: &[(&'static str, u64)]) -> Markup {
    let all: u64 = parts.iter().map(|(_, n)| n).sum();
    let mut left = 0.0;
    let placed: Vec<(&str, f64, f64)> = parts
        .iter()
        .map(|(class, n)| {
            let width = if all == 0 {
                0.0
            } else {
                *n as f64 / all as f64 * WIDTH
            };
            left += width;
            (*class, left - width, width)
        })
        .collect();
    html! {
        svg.stack viewBox=(format!("0 0 {WIDTH} 10")) preserveAspectRatio="none" role="img"
            aria-label=(label) {
            rect.empty x="0" y="0" width=(WIDTH) height="10" {}
            @for (class, x, width) in placed {
                rect class=(class) x=(round(x)) y="0" width=(round(width)) height="10" {}
            }
        }
    }
}

/// The shapes of the last five minutes: the area of requests, the line of answers, and the rate at the top.
pub(super) struct Line {
    pub(super) requests: String,
    pub(super) answers: String,
    pub(super) top: String,
}

pub(super) fn line(points: &[Point]) -> Line {
    let highest = points.iter().map(|point| point.requests.max(point.answers));
    let max = top(highest.map(|rate| rate.ceil() as u64).max());
    let x = |point: &Point| round(WIDTH * (1.0 - (point.ago_s / LINE_S).clamp(0.0, 1.0)));
    let y = |rate: f64| round(HEIGHT * (1.0 - rate / max));
    let mut line = Line {
        requests: String::new(),
        answers: String::new(),
        top: words::number(max as u64),
    };
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return line;
    };
    // Writing into a string cannot fail.
    let _ = write!(line.requests, "M{} {HEIGHT}", x(first));
    for (at, point) in points.iter().enumerate() {
        let _ = write!(line.requests, "L{} {}", x(point), y(point.requests));
        let verb = if at == 0 { 'M' } else { 'L' };
        let _ = write!(line.answers, "{verb}{} {}", x(point), y(point.answers));
    }
    let _ = write!(line.requests, "L{} {HEIGHT}Z", x(last));
    line
}

/// The chart of the last five minutes, whose shapes a script may replace.
pub(super) fn line_chart(line: &Line) -> Markup {
    html! {
        div.chart.live {
            span.top #line-top { (line.top) }
            svg.line viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
                aria-label="Requests and answers a second over the last five minutes" {
                (grid())
                path.requests #line-requests d=(line.requests) {}
                path.answers #line-answers d=(line.answers) vector-effect="non-scaling-stroke" {}
            }
        }
    }
}

/// The number at the top of a scale: 1, 2 or 5 with zeros, and at least 10.
fn top(max: Option<u64>) -> f64 {
    let max = max.unwrap_or(0).max(10) as f64;
    let power = 10_f64.powf(max.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= max).unwrap_or(max)
}

/// Two decimals are more than a screen shows.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_that_is_not_smaller() {
        let tops = [
            (0, 10.0),
            (10, 10.0),
            (11, 15.0),
            (1000, 1000.0),
            (1001, 1500.0),
            (89_999, 100_000.0),
        ];
        for (max, wanted) in tops {
            assert!((top(Some(max)) - wanted).abs() < 0.001, "{max}");
        }
        assert!(top(Some(u64::MAX)) >= u64::MAX as f64);
    }

    #[test]
    fn what_a_bar_is_called_cannot_break_out_of_it() {
        let bar = Bar {
            title: "</title><script>".to_owned(),
            value: 3,
            before: Some(0),
            is_open: true,
        };
        let drawn = bars("a \"label\"", &[bar]).into_string();
        assert!(drawn.contains("&lt;/title&gt;&lt;script&gt;"), "{drawn}");
        assert!(
            drawn.contains("a &quot;label&quot;") && !drawn.contains("style="),
            "{drawn}"
        );
        assert!(!drawn.contains("NaN"), "{drawn}");
        assert!(!bars("none", &[]).into_string().contains("NaN"));
        assert!(!stack("none", &[("a", 0)]).into_string().contains("NaN"));
    }

    #[test]
    fn a_line_lies_within_its_chart() {
        assert_eq!(line(&[]).requests, "");
        let point = |ago_s, requests| Point {
            ago_s,
            requests,
            answers: requests / 2.0,
        };
        let line = line(&[point(400.0, 0.0), point(150.0, 40.0), point(0.0, 8.0)]);
        assert_eq!(line.requests, "M0 100L0 100L300 0L600 80L600 100Z");
        assert_eq!(line.answers, "M0 100L300 50L600 90");
        assert_eq!(line.top, "40");
    }
}
