//! Parsers for the forms in which configuration files write values.

use std::{net::SocketAddr, time::Duration};

use thiserror::Error;

/// Why a value could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Not an IP address and a port.
    #[error(
        "`{0}` is not an address: write an IP address and a port, such as `127.0.0.1:15020` or `[::1]:15020`"
    )]
    SocketAddress(String),
    /// Not a whole number, or one beyond what the field can hold.
    #[error("`{0}` is not a whole number that fits here")]
    WholeNumber(String),
    /// Not a whole number with a unit of time.
    #[error("`{0}` is not a duration: write a whole number and `ms`, `s`, `m` or `h`, such as `30s`")]
    Duration(String),
    /// Not a whole number with a unit of size.
    #[error(
        "`{0}` is not a size: write a whole number of bytes, or one with `KiB`, `MiB` or `GiB`, such as `64KiB`"
    )]
    ByteSize(String),
    /// A number beyond what can be counted.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// An IP address and a port, as in `127.0.0.1:8080` or `[::1]:8080`. Names are not resolved: which address a process
/// listens on must not depend on a resolver.
///
/// # Errors
/// [`ParseError::SocketAddress`].
pub fn socket_address(text: &str) -> Result<SocketAddr, ParseError> {
    text.parse().map_err(|_| ParseError::SocketAddress(text.to_owned()))
}

/// A whole number in decimal digits, without sign.
///
/// # Errors
/// [`ParseError::WholeNumber`], also for a number that `T` cannot hold.
pub fn whole_number<T: TryFrom<u64>>(text: &str) -> Result<T, ParseError> {
    let wrong = || ParseError::WholeNumber(text.to_owned());
    let Some((number, "")) = number_and_unit(text) else { return Err(wrong()) };
    number.parse::<u64>().ok().and_then(|number| T::try_from(number).ok()).ok_or_else(wrong)
}

/// A duration: a whole number and its unit, `ms`, `s`, `m` (minutes) or `h`, without a space.
///
/// # Errors
/// [`ParseError::Duration`] (also for a number without a unit), [`ParseError::TooLarge`].
pub fn duration(text: &str) -> Result<Duration, ParseError> {
    let Some((number, unit)) = number_and_unit(text) else {
        return Err(ParseError::Duration(text.to_owned()));
    };
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(ParseError::Duration(text.to_owned())),
    };
    multiply(text, number, millis).map(Duration::from_millis)
}

/// A size in bytes: a whole number, bare or with `KiB`, `MiB`, `GiB` (or `Ki`, `Mi`, `Gi`, as Kubernetes writes them),
/// without a space. Decimal units are refused: `M` and `Mi` differ by a typo.
///
/// # Errors
/// [`ParseError::ByteSize`], [`ParseError::TooLarge`].
pub fn byte_size(text: &str) -> Result<u64, ParseError> {
    let Some((number, unit)) = number_and_unit(text) else {
        return Err(ParseError::ByteSize(text.to_owned()));
    };
    let bytes: u64 = match unit {
        "" => 1,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        _ => return Err(ParseError::ByteSize(text.to_owned())),
    };
    multiply(text, number, bytes)
}

/// The leading digits (at least one) and what follows.
fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(number, _)| !number.is_empty())
}

fn multiply(text: &str, number: &str, unit: u64) -> Result<u64, ParseError> {
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| ParseError::TooLarge(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_number_and_one_unit() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "5", "s", "-5s", "1.5s", "5 s", "5S", "1m30s", "5d", "٥s", "+5s"] {
            assert_eq!(duration(wrong), Err(ParseError::Duration(wrong.to_owned())));
        }
        assert_eq!(
            duration("99999999999999999999s"),
            Err(ParseError::TooLarge("99999999999999999999s".into()))
        );
        assert!(matches!(duration("18446744073709551615h"), Err(ParseError::TooLarge(_))));
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(byte_size("512"), Ok(512));
        assert_eq!(byte_size("64KiB"), Ok(65_536));
        assert_eq!(byte_size("1Mi"), Ok(1_048_576));
        assert_eq!(byte_size("2GiB"), Ok(2_147_483_648));
        for wrong in ["", "KiB", "1M", "1kB", "1 KiB", "-1", "1.5MiB", "1mib"] {
            assert_eq!(byte_size(wrong), Err(ParseError::ByteSize(wrong.to_owned())));
        }
        assert!(matches!(byte_size("17179869184GiB"), Err(ParseError::TooLarge(_))));
    }

    #[test]
    fn whole_numbers_fit_their_type() {
        assert_eq!(whole_number::<u8>("255"), Ok(255));
        for wrong in ["", "-1", "+1", "1.0", "0x1", "256", "many", "99999999999999999999"] {
            assert_eq!(whole_number::<u8>(wrong), Err(ParseError::WholeNumber(wrong.to_owned())));
        }
    }

    #[test]
    fn addresses_are_numbers_only() {
        assert_eq!(socket_address("[::1]:80").unwrap().port(), 80);
        for wrong in ["localhost:80", "127.0.0.1", ":80", "127.0.0.1:65536", "::1:80:"] {
            let message = socket_address(wrong).unwrap_err().to_string();
            assert!(message.starts_with(&format!("`{wrong}` is not an address")), "{message}");
        }
    }
}
