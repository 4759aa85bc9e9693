//! Ports that are not captured.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use bailiwick_pod::ports::RESERVED;

/// Ports and ranges, as in the annotations: `3306,9000-9100`. The empty set is written as nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortSet(Vec<RangeInclusive<u16>>);

/// Why a text is no set of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortSetError {
    /// An entry is neither a port nor a range.
    #[error("`{0}` is no port; write ports from 1 to 65535 and ranges, `3306,9000-9100`")]
    Form(String),
    /// A range begins above its end.
    #[error("the range `{0}` is empty; write the lower port first")]
    Empty(String),
    /// An entry holds a port that the sidecar itself needs captured, or has.
    #[error("`{0}` holds {1}, which the sidecar uses; leave it out")]
    Reserved(String, u16),
}

impl PortSet {
    /// The ranges, as they were written; a port is a range of one.
    pub fn ranges(&self) -> impl Iterator<Item = &RangeInclusive<u16>> {
        self.0.iter()
    }

    /// True if there is no port in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, PortSetError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|entry| range(entry.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, PortSetError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |number: &str| {
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let port = number.parse::<u16>().ok().filter(|port| digits && *port != 0);
        port.ok_or_else(|| PortSetError::Form(text.to_owned()))
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(PortSetError::Empty(text.to_owned()));
    }
    let range = first..=last;
    match RESERVED.iter().find(|reserved| range.contains(*reserved)) {
        // FAIL-CLOSED: leaving out one of these would open a way past the sidecar, or break the proof of the capture.
        Some(reserved) => Err(PortSetError::Reserved(text.to_owned(), *reserved)),
        None => Ok(range),
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if range.start() == range.end() {
                write!(formatter, "{comma}{}", range.start())?;
            } else {
                write!(formatter, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_are_read_and_written() {
        for text in ["", "3306", "3306,9000-9100", "1,65535", "7-7"] {
            let set: PortSet = text.parse().unwrap();
            assert_eq!(set.to_string(), text.replace("7-7", "7"));
            assert_eq!(set.is_empty(), text.is_empty());
        }
        assert_eq!(" 80 , 443 ".parse::<PortSet>().unwrap().to_string(), "80,443");
    }

    #[test]
    fn what_is_no_port_or_is_ours_is_refused() {
        for (text, expected) in [
            ("0", "`0` is no port"),
            ("65536", "`65536` is no port"),
            ("http", "`http` is no port"),
            ("80,", "`` is no port"),
            ("+80", "`+80` is no port"),
            ("80-", "`80-` is no port"),
            ("1-2-3", "`1-2-3` is no port"),
            ("9-8", "the range `9-8` is empty"),
            ("15099", "holds 15099"),
            ("15000-16000", "holds 15000"),
        ] {
            let message = text.parse::<PortSet>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
