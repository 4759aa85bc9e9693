//! Lists of ports in annotations: `3306,9000-9100`.

use bailiwick_pod::ports::RESERVED;

const MAXIMUM_ENTRIES: usize = 64;
/// A snapshot names each opaque port.
const MAXIMUM_OPAQUE: usize = 4_096;

/// Reads a list of ports and ranges, and writes it without space.
///
/// # Errors
/// With what is wrong and what to write.
pub(crate) fn read(text: &str) -> Result<String, String> {
    let ranges = ranges(text)?;
    let written = ranges.into_iter().map(
        |(low, high)| {
            if low == high { low.to_string() } else { format!("{low}-{high}") }
        },
    );
    Ok(written.collect::<Vec<_>>().join(","))
}

/// Checks a list of ports whose bytes are not read.
///
/// # Errors
/// With what is wrong and what to write.
pub(crate) fn check_opaque(text: &str) -> Result<(), String> {
    let count: usize = ranges(text)?.into_iter().map(|(low, high)| usize::from(high - low) + 1).sum();
    if count > MAXIMUM_OPAQUE {
        return Err(format!("these are {count} ports; write at most {MAXIMUM_OPAQUE}"));
    }
    Ok(())
}

fn ranges(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    if entries.len() > MAXIMUM_ENTRIES {
        return Err(format!(
            "it has {} entries; write at most {MAXIMUM_ENTRIES}, ranges help",
            entries.len()
        ));
    }
    entries.into_iter().map(range).collect()
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Some(low), Some(high)) = (port(first), port(last)) else {
        return Err(format!("`{text}` is no port; write ports from 1 to 65535 and ranges, `3306,9000-9100`"));
    };
    if low > high {
        return Err(format!("the range `{text}` is empty; write the lower port first"));
    }
    match RESERVED.iter().find(|reserved| (low..=high).contains(*reserved)) {
        Some(reserved) => Err(format!("`{text}` holds {reserved}, which the sidecar uses; leave it out")),
        None => Ok((low, high)),
    }
}

fn port(text: &str) -> Option<u16> {
    let port = text.parse::<u16>().ok()?;
    (port > 0 && port.to_string() == text).then_some(port)
}
