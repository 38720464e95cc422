//! The curves as Markdown: what is measured, the picture, the table.

use std::fmt::Write as _;

use super::sample::Cost;
use super::{Curve, Series};

pub(super) fn page(curves: &[Curve], machine: &str, date: &str) -> String {
    let date = if date.is_empty() {
        String::new()
    } else {
        format!("{date}. ")
    };
    let mut page = format!(
        "{date}{machine}. In tables: the middle of all samples, and in brackets what nine in ten lie above and \
         below.\n"
    );
    for curve in curves {
        // Writing to a String does not fail.
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n![{}](curves/{}.svg)\n\n{}",
            curve.title,
            curve.text.trim(),
            curve.title,
            curve.name,
            table(curve)
        );
    }
    page
}

/// A row for every x that any of the series has.
fn table(curve: &Curve) -> String {
    let mut rows: Vec<f64> = curve
        .series
        .iter()
        .flat_map(|series| series.points.iter().map(|(x, _)| *x))
        .collect();
    rows.sort_unstable_by(f64::total_cmp);
    rows.dedup();
    let mut table = format!("| {} |", curve.x.label);
    for series in &curve.series {
        let _ = write!(table, " {}, {} |", series.name, curve.y.label);
    }
    let _ = write!(table, "\n|---|{}\n", "---|".repeat(curve.series.len()));
    for x in rows {
        let _ = write!(table, "| {} |", size(x));
        for series in &curve.series {
            let _ = write!(table, " {} |", cell(series, x));
        }
        table.push('\n');
    }
    table
}

fn cell(series: &Series, x: f64) -> String {
    let point = series
        .points
        .iter()
        .find(|(at, _)| at.total_cmp(&x).is_eq());
    let Some((_, Cost { low, median, high })) = point else {
        return String::from("-");
    };
    if low.total_cmp(high).is_eq() {
        return figure(*median);
    }
    format!(
        "{} ({} to {})",
        figure(*median),
        figure(*low),
        figure(*high)
    )
}

/// Three digits, or all in front of the point.
fn figure(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => grouped(number),
    }
}

/// Whole numbers are grouped; parts of a whole stay what they are.
fn size(number: f64) -> String {
    match number.fract().abs() {
        ..f64::EPSILON => grouped(number),
        _ => number.to_string(),
    }
}

/// A whole number with a blank before every three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::super::Axis;
    use super::*;

    #[test]
    fn every_series_has_a_column_and_a_dash_where_it_has_no_point() {
        let (mut one, mut two) = (Series::new("one"), Series::new("two"));
        one.add(
            10,
            Cost {
                low: 1.0,
                median: 2.0,
                high: 1234.4,
            },
        );
        two.add(1_000_000, Cost::exactly(55.55));
        two.points.push((0.25, Cost::exactly(100.0)));
        let curve = Curve {
            name: "name",
            title: "Title",
            text: String::from("Text.\n"),
            x: Axis::log("peers"),
            y: Axis::linear("ns"),
            series: vec![one, two],
        };
        let page = page(&[curve], "A machine", "2026-01-02");
        let expected = "2026-01-02. A machine. In tables: the middle of all samples, and in brackets what nine in ten \
                        lie above and below.\n\n## Title\n\nText.\n\n![Title](curves/name.svg)\n\n\
                        | peers | one, ns | two, ns |\n|---|---|---|\n\
                        | 0.25 | - | 100 |\n| 10 | 2.00 (1.00 to 1 234) | - |\n| 1 000 000 | - | 55.5 |\n";
        assert_eq!(page, expected);
    }
}
