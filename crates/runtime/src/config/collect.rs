//! Collecting every mistake of a configuration before refusing it.

use std::{
    fmt::{self, Display},
    ops::RangeInclusive,
};

/// One mistake: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    message: String,
}

/// All mistakes that were found; never empty. Displays as one line for each, `field path: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

/// Gathers mistakes while a `TryFrom<Raw>` goes through its fields. Every method that gives `None` has recorded a
/// mistake, so `?` inside [`Collector::finish`] loses nothing.
#[derive(Debug, Default)]
#[must_use = "mistakes count only when `finish` is called"]
pub struct Collector {
    mistakes: Vec<ConfigError>,
}

impl ConfigError {
    /// The field, as in `admin.listen` or `outbound[2].service`; the variable's name for an environment value.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it, and what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return formatter.write_str(&self.message);
        }
        write!(formatter, "{}: {}", self.path, self.message)
    }
}

impl ConfigErrors {
    /// A single mistake, for a conversion that checks one thing only.
    #[must_use]
    pub fn one(path: &str, message: impl Display) -> Self {
        Self(vec![ConfigError { path: path.to_owned(), message: message.to_string() }])
    }

    /// The mistakes, in the order in which the fields were checked.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(formatter, "{} {plural} in the configuration:", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(formatter, "\n  {mistake}"))
    }
}

impl std::error::Error for ConfigErrors {}

impl Collector {
    /// One without mistakes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a mistake at a field; an empty path means the section itself.
    pub fn mistake(&mut self, path: &str, message: impl Display) {
        self.mistakes.push(ConfigError { path: path.to_owned(), message: message.to_string() });
    }

    /// The value, or `None` with its error recorded at `path`.
    pub fn value<T, E: Display>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(path, error);
                None
            }
        }
    }

    /// The value, or `None` with `path` recorded as missing.
    pub fn required<T>(&mut self, path: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.mistake(path, "is required");
        }
        value
    }

    /// An optional text parsed, or the default where there is none. [`super::parse`] has parsers.
    pub fn parsed<T, E: Display>(
        &mut self,
        path: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
        default: T,
    ) -> Option<T> {
        match text {
            Some(text) => self.value(path, parse(text)),
            None => Some(default),
        }
    }

    /// A required text parsed.
    pub fn parsed_required<T, E: Display>(
        &mut self,
        path: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.required(path, text)?;
        self.value(path, parse(text))
    }

    /// The value if it lies within the bounds; a value that is missing has been recorded before and passes through.
    pub fn within<T: PartialOrd + fmt::Debug>(
        &mut self,
        path: &str,
        value: Option<T>,
        bounds: RangeInclusive<T>,
    ) -> Option<T> {
        let value = value?;
        if bounds.contains(&value) {
            return Some(value);
        }
        let (low, high) = bounds.into_inner();
        self.mistake(path, format_args!("`{value:?}` is not between {low:?} and {high:?}"));
        None
    }

    /// A section's own configuration, or `None` with all its mistakes recorded under `path`.
    pub fn section<T>(&mut self, path: &str, result: Result<T, ConfigErrors>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(ConfigErrors(mistakes)) => {
                self.mistakes.extend(
                    mistakes
                        .into_iter()
                        .map(|mistake| ConfigError { path: join(path, &mistake.path), ..mistake }),
                );
                None
            }
        }
    }

    /// Builds the configuration from the collected values, or gives all mistakes.
    ///
    /// # Errors
    /// [`ConfigErrors`] if any mistake was recorded, whatever `build` gives.
    pub fn finish<T>(mut self, build: impl FnOnce() -> Option<T>) -> Result<T, ConfigErrors> {
        let built = build();
        if built.is_none() && self.mistakes.is_empty() {
            // FAIL-CLOSED: a value was dropped without a word; the configuration is not complete all the same.
            self.mistake("", "a value is missing");
        }
        match built {
            Some(config) if self.mistakes.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigErrors(self.mistakes)),
        }
    }
}

fn join(section: &str, field: &str) -> String {
    if section.is_empty() || field.is_empty() || field.starts_with('[') {
        return format!("{section}{field}");
    }
    format!("{section}.{field}")
}
