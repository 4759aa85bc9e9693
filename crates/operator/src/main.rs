//! Entry point of `bailiwick-operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bailiwick_operator::entry()
}
