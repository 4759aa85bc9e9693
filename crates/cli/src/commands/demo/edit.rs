//! The edit of the policies that the demonstration applies: `web` may no longer read orders, nor hold anything open.

use anyhow::{Context as _, Result};

/// The rule that is removed, and the one after it.
const REMOVED: &str = "  - name: web-live\n";
const NEXT: &str = "  - name: report-live\n";
/// What is left of what `web` reads.
const READS: &str = "roles: [{name: order-reader}]";
const LESS: &str = "roles: [{name: health-reader}]";

/// The policies after the edit.
///
/// # Errors
/// When the policies are not those that the edit was written for.
pub(super) fn edited(policies: &str) -> Result<String> {
    let parts = policies.split_once(REMOVED).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(NEXT)?;
        let (head, tail) = before.split_once(READS)?;
        Some(format!("{head}{LESS}{tail}{NEXT}{after}"))
    });
    parts.context("the policies of the shop are not those that the edit was written for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::world::POLICIES;

    #[test]
    fn the_edit_takes_from_web_and_leaves_report_alone() {
        let after = edited(POLICIES).unwrap();
        assert!(!after.contains("web-live") && after.contains("report-live") && after.contains("no-secrets"));
        assert!(after.contains("health-reader") && !after.contains("order-reader"));
    }
}
