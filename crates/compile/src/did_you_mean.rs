//! "Did you mean": the nearest known word to an unknown one.

/// Longer words are no typing mistakes, and the distance takes quadratic time.
const MAXIMUM_CHARACTERS: usize = 64;

/// The candidate nearest to what was found, if it is near enough to be a typing mistake: up to a third of the
/// characters (at least one), with case ignored first. Of equally near candidates the first one wins.
///
/// ```
/// assert_eq!(bailiwick_compile::did_you_mean(["targets", "rules"], "tragets"), Some("targets"));
/// assert_eq!(bailiwick_compile::did_you_mean(["targets", "rules"], "banana"), None);
/// ```
pub fn did_you_mean<'a>(candidates: impl IntoIterator<Item = &'a str>, found: &str) -> Option<&'a str> {
    let wanted: Vec<char> = found.chars().take(MAXIMUM_CHARACTERS + 1).flat_map(char::to_lowercase).collect();
    if wanted.is_empty() || wanted.len() > MAXIMUM_CHARACTERS {
        return None;
    }
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        let longest = letters.len().max(wanted.len());
        if longest > MAXIMUM_CHARACTERS || candidate == found {
            continue;
        }
        let found_distance = distance(&letters, &wanted);
        let allowed = (longest / 3).max(1);
        if found_distance <= allowed && best.is_none_or(|(nearest, _)| found_distance < nearest) {
            best = Some((found_distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions and exchanges of
/// neighbours, each counted once.
#[must_use]
pub fn edit_distance(left: &str, right: &str) -> usize {
    distance(&left.chars().collect::<Vec<_>>(), &right.chars().collect::<Vec<_>>())
}

fn distance(left: &[char], right: &[char]) -> usize {
    // Three rows of the table are enough: the one being filled and the two before it.
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    let mut last_left: Option<char> = None;
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut last_right: Option<char> = None;
        for (column, to) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&previous, column) + usize::from(from != to))
                .min(at(&previous, column + 1) + 1)
                .min(at(&current, column) + 1);
            if last_left == Some(*to) && last_right == Some(*from) {
                cost = cost.min(at(&before, column.wrapping_sub(1)) + 1);
            }
            current.push(cost);
            last_right = Some(*to);
        }
        before = std::mem::replace(&mut previous, current);
        last_left = Some(*from);
    }
    previous.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_typing_mistake_once() {
        for (left, right, expected) in
            [("", "", 0), ("a", "", 1), ("targets", "tragets", 1), ("kitten", "sitting", 3), ("ca", "abc", 3)]
        {
            assert_eq!(edit_distance(left, right), expected, "{left} {right}");
            assert_eq!(edit_distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(did_you_mean(["Allow", "Deny"], "allow"), Some("Allow"));
        assert_eq!(did_you_mean(["Allow", "Deny"], "Dney"), Some("Deny"));
        assert_eq!(did_you_mean(["Allow", "Deny"], "Permit"), None);
        assert_eq!(did_you_mean(["Allow"], ""), None);
        assert_eq!(did_you_mean(["Allow"], &"A".repeat(10_000)), None);
    }
}
