//! Kubernetes quantities, as far as they make sense for the sidecar, and bounded.

/// Of CPU: at least a thousandth of a core, at most four.
const CPU: (u64, u64) = (1, 4_000);
/// Of memory, bytes: at least 16 MiB, at most 4 GiB.
const MEMORY: (u64, u64) = (16 << 20, 4 << 30);

/// An amount of CPU, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cpu(String);

/// An amount of memory, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    bytes: u64,
    text: String,
}

impl PartialOrd for Memory {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.bytes.partial_cmp(&other.bytes)
    }
}

impl Cpu {
    /// Reads `100m` or `0.5`.
    ///
    /// # Errors
    /// With what is wrong and what to write.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let thousandths = match text.strip_suffix('m') {
            Some(number) => whole(number),
            None => decimal(text, 1_000),
        };
        match thousandths {
            Some(amount) if (CPU.0..=CPU.1).contains(&amount) => Ok(Self(text.to_owned())),
            Some(_) => Err(format!("is `{text}`; write an amount of CPU from 1m to 4")),
            None => Err(format!("is `{text}`; write an amount of CPU such as 100m or 0.5")),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Memory {
    /// Reads `64Mi` or `64M`.
    ///
    /// # Errors
    /// With what is wrong and what to write.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 6] = [
            ("Ki", 1 << 10),
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
            ("k", 1_000),
            ("M", 1_000_000),
            ("G", 1_000_000_000),
        ];
        let with_unit = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
        let (number, size) = with_unit.unwrap_or((text, 1));
        match decimal(number, size) {
            Some(bytes) if (MEMORY.0..=MEMORY.1).contains(&bytes) => {
                Ok(Self { bytes, text: text.to_owned() })
            }
            Some(_) => Err(format!("is `{text}`; write an amount of memory from 16Mi to 4Gi")),
            None => Err(format!("is `{text}`; write an amount of memory such as 64Mi")),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

fn whole(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A decimal number times `scale`, with at most three digits behind the point.
fn decimal(text: &str, scale: u64) -> Option<u64> {
    let (whole_part, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.len() > 3 {
        return None;
    }
    let thousandths = whole(fraction)?.checked_mul(match fraction.len() {
        1 => 100,
        2 => 10,
        _ => 1,
    })?;
    whole(whole_part)?.checked_mul(scale)?.checked_add(thousandths.checked_mul(scale)? / 1_000)
}
