//! Times and durations.

use std::str::FromStr;

use jiff::Timestamp;

use super::reader::{At, Reader, shorten};
use crate::codes;

/// An instant, in seconds since the Unix epoch: RFC 3339 with whole seconds. Stricter than the library, which also
/// reads other forms; fractions are refused because rules are decided by whole seconds.
pub(crate) fn instant(reader: &mut Reader, at: &At<'_>) -> Option<i64> {
    let text = reader.text(at, 64)?;
    let parsed = if is_rfc3339(text) { Timestamp::from_str(text).ok() } else { None };
    if parsed.is_none() {
        let message = format!("`{}` is not a time", shorten(text));
        let help = "write RFC 3339 with whole seconds, as in `2026-12-31T00:00:00Z`";
        reader.problem(codes::TIME, at, message, Some(help.to_owned()));
    }
    parsed.map(Timestamp::as_second)
}

fn is_rfc3339(text: &str) -> bool {
    let fits = |pattern: &str, text: &str| {
        pattern.len() == text.len()
            && pattern.bytes().zip(text.bytes()).all(|(wanted, found)| match wanted {
                b'0' => found.is_ascii_digit(),
                b'~' => found == b'+' || found == b'-',
                _ => wanted == found,
            })
    };
    fits("0000-00-00T00:00:00Z", text) || fits("0000-00-00T00:00:00~00:00", text)
}

/// The shortest and the longest life of a workload's certificate, in seconds.
const SHORTEST: u64 = 10 * 60;
const LONGEST: u64 = 720 * 60 * 60;

/// The life of a certificate in seconds, 10 minutes to 720 hours (30 days).
pub(crate) fn lifetime(reader: &mut Reader, at: &At<'_>) -> Option<u64> {
    let text = reader.text(at, 32)?;
    let Some(milliseconds) = duration(text) else {
        let message = format!("`{}` is not a duration", shorten(text));
        let help = "write numbers with `h`, `m`, `s` or `ms`, as in `24h` or `1h30m`";
        reader.problem(codes::DURATION, at, message, Some(help.to_owned()));
        return None;
    };
    let seconds = milliseconds / 1000;
    if milliseconds % 1000 != 0 || !(SHORTEST..=LONGEST).contains(&seconds) {
        let message = format!("`{text}` is not a life of a certificate");
        let help = "use whole seconds, from `10m` to `720h`";
        reader.problem(codes::DURATION, at, message, Some(help.to_owned()));
        return None;
    }
    Some(seconds)
}

/// A duration of the Gateway API (GEP-2257) in milliseconds: one to four numbers of at most five digits, each with a
/// unit.
fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        if !(1..=5).contains(&digits) {
            return None;
        }
        let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        let (tail, unit) =
            units.into_iter().find_map(|(unit, value)| Some((tail.strip_prefix(unit)?, value)))?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        if tail.is_empty() {
            return Some(total);
        }
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_gep_2257() {
        for (text, expected) in [
            ("24h", Some(86_400_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("1m1ms", Some(60_001)),
            ("", None),
            ("h", None),
            ("1", None),
            ("1d", None),
            ("1.5h", None),
            ("-1h", None),
            ("123456s", None),
            ("1h1h1h1h1h", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn only_rfc_3339_is_a_time() {
        for sound in ["2026-12-31T00:00:00Z", "2026-12-31T00:00:00+02:00", "2026-12-31T00:00:00-00:00"] {
            assert!(is_rfc3339(sound), "{sound}");
        }
        for broken in [
            "2026-12-31",
            "2026-12-31 00:00:00Z",
            "2026-12-31t00:00:00z",
            "2026-12-31T00:00:00",
            "2026-12-31T00:00:00.5Z",
        ] {
            assert!(!is_rfc3339(broken), "{broken}");
        }
    }
}
