//! A unified diff of two short texts.

/// Unchanged lines around a change.
const CONTEXT: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// The diff of a file, with its hunks; empty if nothing differs.
pub(super) fn unified(name: &str, before: &str, after: &str) -> String {
    let edits = edits(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>());
    let changed: Vec<usize> = (0..edits.len())
        .filter(|index| edits.get(*index).is_some_and(|edit| !matches!(edit, Edit::Same(_))))
        .collect();
    if changed.is_empty() {
        return String::new();
    }
    let mut out = format!("--- {name}\n+++ {name}\n");
    let mut start = 0;
    while let Some(first) = changed.get(start) {
        // Changes whose contexts touch are one hunk.
        let mut last = start;
        while changed.get(last + 1).zip(changed.get(last)).is_some_and(|(next, at)| next - at <= 2 * CONTEXT)
        {
            last += 1;
        }
        let end = changed.get(last).map_or(*first, |at| at + CONTEXT + 1).min(edits.len());
        hunk(&mut out, &edits, first.saturating_sub(CONTEXT), end);
        start = last + 1;
    }
    out
}

fn hunk(out: &mut String, edits: &[Edit<'_>], from: usize, to: usize) {
    let of_before = |edit: &&Edit<'_>| !matches!(edit, Edit::Added(_));
    let of_after = |edit: &&Edit<'_>| !matches!(edit, Edit::Removed(_));
    let (earlier, own) = (edits.get(..from).unwrap_or_default(), edits.get(from..to).unwrap_or_default());
    let place = |which: &dyn Fn(&&Edit<'_>) -> bool| {
        (earlier.iter().filter(|edit| which(edit)).count() + 1, own.iter().filter(|edit| which(edit)).count())
    };
    let ((old, old_count), (new, new_count)) = (place(&of_before), place(&of_after));
    out.push_str(&format!("@@ -{old},{old_count} +{new},{new_count} @@\n"));
    for edit in own {
        let (sign, line) = match edit {
            Edit::Same(line) => (' ', line),
            Edit::Removed(line) => ('-', line),
            Edit::Added(line) => ('+', line),
        };
        out.push_str(&format!("{sign}{line}\n"));
    }
}

/// The shortest edit, by the longest common subsequence of lines.
fn edits<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Edit<'a>> {
    let width = after.len() + 1;
    let mut longest = vec![0_usize; (before.len() + 1) * width];
    let at = |longest: &[usize], row: usize, column: usize| {
        longest.get(row * width + column).copied().unwrap_or(0)
    };
    for (row, old) in before.iter().enumerate().rev() {
        for (column, new) in after.iter().enumerate().rev() {
            let length = if old == new {
                at(&longest, row + 1, column + 1) + 1
            } else {
                at(&longest, row + 1, column).max(at(&longest, row, column + 1))
            };
            if let Some(cell) = longest.get_mut(row * width + column) {
                *cell = length;
            }
        }
    }
    let (mut row, mut column, mut edits) = (0, 0, Vec::new());
    loop {
        match (before.get(row), after.get(column)) {
            (Some(old), Some(new)) if old == new => {
                edits.push(Edit::Same(old));
                (row, column) = (row + 1, column + 1);
            }
            (Some(old), new)
                if new.is_none() || at(&longest, row + 1, column) >= at(&longest, row, column + 1) =>
            {
                edits.push(Edit::Removed(old));
                row += 1;
            }
            (_, Some(new)) => {
                edits.push(Edit::Added(new));
                column += 1;
            }
            (_, None) => return edits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_reads_as_that_of_the_usual_tool() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let after = "a\nb\nX\nd\ne\nf\ng\nh\nj\nk\n";
        let expected =
            "--- f\n+++ f\n@@ -1,5 +1,5 @@\n a\n b\n-c\n+X\n d\n e\n@@ -7,4 +7,4 @@\n g\n h\n-i\n j\n+k\n";
        assert_eq!(unified("f", before, after), expected);
        assert_eq!(unified("f", before, before), "");
    }
}
