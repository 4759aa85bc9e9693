//! Waiting for what comes, and watching that something stays.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Tries until it succeeds; gives the last failure if it does not in time.
///
/// # Errors
/// If it did not succeed in time.
pub fn eventually<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(found) => return Ok(found),
            Err(error) if start.elapsed() >= within => {
                return Err(error).with_context(|| format!("not within {} s: {what}", within.as_secs_f32()));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Looks again and again; it must hold each time.
///
/// # Errors
/// As soon as it does not hold.
pub fn holds_for(what: &str, time: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        if !look()? {
            bail!("after {} s no longer: {what}", start.elapsed().as_secs_f32());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
