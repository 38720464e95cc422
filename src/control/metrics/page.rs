//! A page of metrics: what was found, and the two texts that say it. `prometheus-client` writes both.

use std::fmt::{self, Write as _};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder,
    MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::counters::Sizes;

/// Something that is told, and how.
#[derive(PartialEq, Eq, Debug)]
pub struct Metric {
    /// With its unit; counters end in `_total`.
    pub name: &'static str,
    /// What becomes of its value.
    pub kind: Kind,
    /// What there is a value for each of.
    pub labels: &'static [&'static str],
    /// A sentence, without its full stop.
    pub help: &'static str,
}

/// What becomes of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It grows, until a restart.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Values counted by size.
    Histogram,
}

impl Kind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

impl Metric {
    pub(super) const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(name, Kind::Counter, labels, help)
    }

    pub(super) const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(name, Kind::Gauge, labels, help)
    }

    pub(super) const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::new(name, Kind::Histogram, labels, help)
    }

    const fn new(
        name: &'static str,
        kind: Kind,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            labels,
            help,
        }
    }

    /// The name without its unit and `_total`, and the unit: `OpenMetrics` puts them together.
    fn parts(&self) -> (&'static str, Option<Unit>) {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        for unit in [Unit::Bytes, Unit::Seconds] {
            let bare = name.strip_suffix(unit.as_str());
            if let Some(bare) = bare.and_then(|bare| bare.strip_suffix('_')) {
                return (bare, Some(unit));
            }
        }
        (name, None)
    }
}

/// How a page is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// `OpenMetrics` 1.0.
    Open,
    /// The text format of Prometheus, version 0.0.4.
    Classic,
}

impl Format {
    /// What the client accepts: `OpenMetrics` if it names it.
    pub(super) fn of(accept: &str) -> Self {
        let is_named = accept.split(',').any(|range| {
            let mut words = range.split(';').map(str::trim);
            words.next() == Some("application/openmetrics-text") && words.all(|word| word != "q=0")
        });
        if is_named { Self::Open } else { Self::Classic }
    }

    /// What the page is called.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What was found.
#[derive(Default, Debug)]
pub(super) struct Page(Vec<Family>);

/// The values of one metric.
#[derive(Debug)]
pub(super) struct Family {
    metric: &'static Metric,
    samples: Vec<(Vec<String>, Value)>,
}

/// One value.
#[derive(Debug)]
pub(super) enum Value {
    Whole(u64),
    Fraction(f64),
    /// What was counted, and how many of its units are one of the metric's.
    Sizes(Sizes, f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Fraction(value)
    }
}

impl Page {
    /// The values of a metric, so far none. All of one metric stand together.
    pub(super) fn family(&mut self, metric: &'static Metric) -> &mut Family {
        let found = self.0.iter().position(|family| family.metric == metric);
        let at = found.unwrap_or_else(|| {
            self.0.push(Family {
                metric,
                samples: Vec::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// The value of a metric that has but one.
    pub(super) fn set(&mut self, metric: &'static Metric, value: impl Into<Value>) {
        self.family(metric).add(&[], value);
    }

    /// The same, where the value is known.
    pub(super) fn set_known(&mut self, metric: &'static Metric, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(metric, value);
        }
    }

    /// The page as text.
    pub(super) fn write(self, format: Format) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Written { page: self, format }));
        let mut text = String::new();
        encode_registry(&mut text, &registry)?;
        if format == Format::Open {
            encode_eof(&mut text)?;
        }
        Ok(text)
    }
}

impl Family {
    /// A value, for these values of the labels.
    pub(super) fn add(&mut self, labels: &[&str], value: impl Into<Value>) -> &mut Self {
        debug_assert_eq!(
            labels.len(),
            self.metric.labels.len(),
            "{}",
            self.metric.name
        );
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.samples.push((labels, value.into()));
        self
    }
}

/// A page on its way into a text.
#[derive(Debug)]
struct Written {
    page: Page,
    format: Format,
}

impl Collector for Written {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { metric, samples } in &self.page.0 {
            if samples.is_empty() {
                continue;
            }
            let (name, unit) = match self.format {
                Format::Open => metric.parts(),
                // The older format calls a counter by its whole name.
                Format::Classic => (metric.name, None),
            };
            let kind = metric.kind.metric_type();
            let mut family = encoder.encode_descriptor(name, metric.help, unit.as_ref(), kind)?;
            for (values, value) in samples {
                let labels = Labels {
                    names: metric.labels,
                    values,
                };
                if values.is_empty() {
                    value.encode(&mut family, metric.kind, self.format)?;
                } else {
                    let mut sample = family.encode_family(&labels)?;
                    value.encode(&mut sample, metric.kind, self.format)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder<'_>, kind: Kind, format: Format) -> fmt::Result {
        let adds_total = kind == Kind::Counter && format == Format::Open;
        match self {
            Self::Whole(value) if adds_total => {
                encoder.encode_counter::<NoLabelSet, _, u64>(value, None)
            }
            Self::Fraction(value) if adds_total => {
                encoder.encode_counter::<NoLabelSet, _, u64>(value, None)
            }
            Self::Whole(value) => match i64::try_from(*value) {
                Ok(value) => encoder.encode_gauge(&value),
                Err(_) => encoder.encode_gauge(&(*value as f64)),
            },
            Self::Fraction(value) => encoder.encode_gauge(value),
            Self::Sizes(sizes, scale) => {
                let bounds = sizes.bounds.iter().map(|bound| *bound as f64 / scale);
                let bounds = bounds.chain([f64::MAX]); // written as +Inf
                let buckets: Vec<(f64, u64)> = bounds.zip(sizes.counts.iter().copied()).collect();
                let sum = sizes.sum as f64 / scale;
                encoder.encode_histogram::<NoLabelSet>(sum, sizes.total(), &buckets, None)
            }
        }
    }
}

#[derive(Debug)]
struct Labels<'a> {
    names: &'static [&'static str],
    values: &'a [String],
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.names.iter().zip(self.values) {
            let mut encoder = encoder.encode_label();
            let mut key = encoder.encode_label_key()?;
            key.write_str(name)?;
            let mut written = key.encode_label_value()?;
            Escaped(value).encode(&mut written)?;
            written.finish()?;
        }
        Ok(())
    }
}

/// A value that may hold anything: paths, names of threads. The library writes it as it is.
struct Escaped<'a>(&'a str);

impl EncodeLabelValue for Escaped<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\\' => encoder.write_str("\\\\")?,
                '"' => encoder.write_str("\\\"")?,
                '\n' => encoder.write_str("\\n")?,
                // Legal, but some readers take it for the end of a line.
                '\r' => encoder.write_str("\\\\r")?,
                other => encoder.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Turns;
    use std::time::Duration;

    static SENT: Metric = Metric::counter("shoal_sent_bytes_total", &["core"], "Bytes sent");
    static OPEN: Metric = Metric::gauge("shoal_open", &["name"], "What is open");
    static TURN: Metric = Metric::histogram("shoal_turn_seconds", &["core"], "Time of a turn");

    fn written(format: Format, fill: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::default();
        fill(&mut page);
        page.write(format).unwrap()
    }

    #[test]
    fn a_counter_is_named_as_each_format_wants_it() {
        let fill = |page: &mut Page| {
            page.family(&SENT).add(&["0"], 7_u64).add(&["1"], u64::MAX);
        };
        assert_eq!(
            written(Format::Open, fill),
            "# HELP shoal_sent_bytes Bytes sent\n# TYPE shoal_sent_bytes counter\n\
             # UNIT shoal_sent_bytes bytes\n\
             shoal_sent_bytes_total{core=\"0\"} 7\n\
             shoal_sent_bytes_total{core=\"1\"} 18446744073709551615\n# EOF\n"
        );
        assert_eq!(
            written(Format::Classic, fill),
            "# HELP shoal_sent_bytes_total Bytes sent\n# TYPE shoal_sent_bytes_total counter\n\
             shoal_sent_bytes_total{core=\"0\"} 7\n\
             shoal_sent_bytes_total{core=\"1\"} 18446744073709553000.0\n"
        );
    }

    #[test]
    fn no_value_of_a_label_breaks_its_line() {
        let hostile = "a\"} 1\nshoal_open{name=\"\\\r\u{1f41f}";
        for format in [Format::Open, Format::Classic] {
            let text = written(format, |page| {
                page.family(&OPEN).add(&[hostile], 1_u64);
            });
            let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert_eq!(
                samples,
                ["shoal_open{name=\"a\\\"} 1\\nshoal_open{name=\\\"\\\\\\\\r\u{1f41f}\"} 1"]
            );
        }
    }

    #[test]
    fn a_histogram_has_cumulative_buckets_up_to_infinity() {
        let turns = Turns::default();
        turns.record(Duration::from_micros(3), 1);
        turns.record(Duration::from_secs(1), 1);
        let text = written(Format::Classic, |page| {
            let value = Value::Sizes(turns.time_ns(), 1e9);
            page.family(&TURN).add(&["0"], value);
        });
        for line in [
            "shoal_turn_seconds_sum{core=\"0\"} 1.000003",
            "shoal_turn_seconds_count{core=\"0\"} 2",
            "shoal_turn_seconds_bucket{le=\"0.000002\",core=\"0\"} 0",
            "shoal_turn_seconds_bucket{le=\"0.000005\",core=\"0\"} 1",
            "shoal_turn_seconds_bucket{le=\"0.1\",core=\"0\"} 1",
            "shoal_turn_seconds_bucket{le=\"+Inf\",core=\"0\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_metric_without_a_value_is_not_on_the_page() {
        let text = written(Format::Classic, |page| {
            page.family(&SENT);
            page.set_known(&OPEN, None::<u64>);
        });
        assert_eq!(text, "");
    }

    #[test]
    fn open_metrics_are_for_those_who_name_them() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::Open),
            (
                "text/plain, application/openmetrics-text; q=0",
                Format::Classic,
            ),
            ("text/html,*/*", Format::Classic),
            ("", Format::Classic),
        ] {
            assert_eq!(Format::of(accept), format, "{accept}");
        }
    }
}
