//! Numbers, bytes and times as people read them.

use crate::counters::{Family, Protocol};

/// `1,234,567`.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: with a decimal only while it is small.
pub(super) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        number(per_second.round() as u64)
    }
}

/// `1.2 MiB`.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 99.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `12.3 %`, of all that there are.
pub(super) fn percent(part: u64, all: u64) -> String {
    match all {
        0 => "0 %".to_owned(),
        _ => share(part as f64 / all as f64),
    }
}

/// A share from 0 to 1 as `12.3 %`.
pub(super) fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 99.95 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// Nanoseconds as `50 \u{b5}s` or `1.5 ms`.
pub(super) fn short_time(ns: u64) -> String {
    let value = |unit: f64| {
        let value = ns as f64 / unit;
        let decimals = usize::from(value < 9.95 && value.fract() > 0.05);
        format!("{value:.decimals$}")
    };
    match ns {
        0..1_000_000 => format!("{} \u{b5}s", value(1e3)),
        1_000_000..1_000_000_000 => format!("{} ms", value(1e6)),
        _ => format!("{} s", value(1e9)),
    }
}

/// `3 d 4 h`, `4 h 5 min`, `5 min 6 s`.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

/// `2026-11-21` of a time in Unix seconds.
pub(super) fn date(unix_s: u64) -> String {
    // Years that begin in March, as Howard Hinnant counts them in "chrono-compatible low-level date
    // algorithms".
    let days = unix_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + late)
}

/// `14:05` of a time in Unix seconds.
pub(super) fn time(unix_s: u64) -> String {
    format!("{:02}:{:02}", unix_s / 3600 % 24, unix_s / 60 % 60)
}

/// What people call a protocol.
pub(super) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "UDP",
        Protocol::Http => "HTTP",
        Protocol::Https => "HTTPS",
    }
}

/// What people call a family.
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::Ip4 => "IPv4",
        Family::Ip6 => "IPv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_comma_for_each_thousand() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(n), text);
        }
        assert_eq!(number(u64::MAX), "18,446,744,073,709,551,615");
        for (n, text) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (9.94, "9.9"),
            (9.96, "10"),
            (1234.4, "1,234"),
        ] {
            assert_eq!(rate(n), text);
        }
    }

    #[test]
    fn bytes_have_three_digits_or_four() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (150 << 20, "150 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn shares_and_times_are_short() {
        for (part, all, text) in [
            (0, 0, "0 %"),
            (0, 5, "0 %"),
            (1, 3, "33.3 %"),
            (5, 5, "100 %"),
        ] {
            assert_eq!(percent(part, all), text);
        }
        for (seconds, text) in [
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3661, "1 h 1 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn short_times_have_the_unit_that_fits() {
        for (ns, text) in [
            (0, "0 \u{b5}s"),
            (2_500, "2.5 \u{b5}s"),
            (50_000, "50 \u{b5}s"),
            (1_000_000, "1 ms"),
            (1_500_000, "1.5 ms"),
            (2_000_000_000, "2 s"),
        ] {
            assert_eq!(short_time(ns), text);
        }
    }

    #[test]
    fn times_have_hours_and_minutes() {
        for (unix_s, text) in [(0, "00:00"), (86_399, "23:59"), (1_700_007_200, "00:13")] {
            assert_eq!(time(unix_s), text);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(unix_s), text);
        }
    }
}
