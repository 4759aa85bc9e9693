//! Environment values that change single fields of a raw configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt::Display,
    str::FromStr,
};

use super::collect::{Collector, ConfigErrors};

/// The environment values with one prefix. Each that is known is applied by name; one that is left over at the end
/// is a mistake, since a misspelt name would otherwise do nothing in silence. Values are never printed.
#[derive(Debug)]
#[must_use = "mistakes count only when `finish` is called"]
pub struct Overrides {
    prefix: String,
    values: BTreeMap<String, String>,
    known: BTreeSet<String>,
    collector: Collector,
}

impl Overrides {
    /// Keeps the pairs whose name starts with `prefix` (with its underscore: `BAILIWICK_`). A binary passes
    /// `std::env::vars_os()`. The addresses that Kubernetes adds for Services (`…_SERVICE_HOST`, `…_PORT_80_TCP`)
    /// are left out: a Service named like us is not a configuration of ours.
    pub fn new<N: Into<OsString>, V: Into<OsString>>(
        prefix: &str,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut values = BTreeMap::new();
        let mut collector = Collector::new();
        for (name, value) in pairs {
            // A name that is not UTF-8 is none of ours: our prefix and names are ASCII.
            let Ok(name) = name.into().into_string() else { continue };
            if !name.starts_with(prefix) {
                continue;
            }
            if let Some(value) =
                collector.value(&name, value.into().into_string().map_err(|_| "is not UTF-8"))
                && !is_service_link(&name, &value)
            {
                values.insert(name, value);
            }
        }
        Self { prefix: prefix.to_owned(), values, known: BTreeSet::new(), collector }
    }

    /// Applies the value called `{prefix}{name}`, if there is one; an empty value is a value.
    pub fn apply<T>(&mut self, name: &str, set: impl FnOnce(T))
    where
        T: FromStr,
        T::Err: Display,
    {
        let name = format!("{}{name}", self.prefix);
        if let Some(value) = self.values.remove(&name)
            && let Some(parsed) = self.collector.value(&name, value.parse())
        {
            set(parsed);
        }
        self.known.insert(name);
    }

    /// To be called after the last [`Overrides::apply`].
    ///
    /// # Errors
    /// Every value that did not parse, and every name that was not asked for.
    pub fn finish(mut self) -> Result<(), ConfigErrors> {
        let known = self.known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        for name in self.values.keys() {
            let known = if known.is_empty() { "nothing" } else { &known };
            self.collector.mistake(name, format_args!("is not a setting; the environment can set {known}"));
        }
        self.collector.finish(|| Some(()))
    }
}

/// True for what the kubelet sets for each Service of a namespace (`enableServiceLinks`), in the form of Docker links.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_address_part = ["_PROTO", "_PORT", "_ADDR"].iter().any(|part| name.ends_with(part))
        && ["_TCP_", "_UDP_", "_SCTP_"].iter().any(|part| name.contains(part));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT") && (is_url || is_address_part))
}
