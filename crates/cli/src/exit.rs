//! Exit codes that scripts can use.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or allowed.
    Success,
    /// It could not be done.
    Failure,
    /// The call would not be forwarded.
    Denied,
    /// What was given is invalid: arguments, or a folder with errors.
    Invalid,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Denied => 2,
            Exit::Invalid => 3,
        })
    }
}
