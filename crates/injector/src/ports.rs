//! Lists of ports in annotations: `3306,9000-9100`.

use bailiwick_pod::ports::RESERVED;

const MAXIMUM_ENTRIES: usize = 64;

/// Reads a list of ports and ranges, and writes it without space.
///
/// # Errors
/// With what is wrong and what to write.
pub(crate) fn read(text: &str) -> Result<String, String> {
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    if entries.len() > MAXIMUM_ENTRIES {
        return Err(format!(
            "it has {} entries; write at most {MAXIMUM_ENTRIES}, ranges help",
            entries.len()
        ));
    }
    let written: Result<Vec<String>, String> = entries.into_iter().map(entry).collect();
    Ok(written?.join(","))
}

fn entry(text: &str) -> Result<String, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Some(low), Some(high)) = (port(first), port(last)) else {
        return Err(format!("`{text}` is no port; write ports from 1 to 65535 and ranges, `3306,9000-9100`"));
    };
    if low > high {
        return Err(format!("the range `{text}` is empty; write the lower port first"));
    }
    match RESERVED.iter().find(|reserved| (low..=high).contains(*reserved)) {
        Some(reserved) => Err(format!("`{text}` holds {reserved}, which the sidecar uses; leave it out")),
        None if low == high => Ok(low.to_string()),
        None => Ok(format!("{low}-{high}")),
    }
}

fn port(text: &str) -> Option<u16> {
    let port = text.parse::<u16>().ok()?;
    (port > 0 && port.to_string() == text).then_some(port)
}
