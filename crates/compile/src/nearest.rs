//! "Did you mean": the nearest existing name to one that does not exist.

/// Longer names are no typing mistakes, and the distance takes quadratic time.
const MAXIMUM_CHARACTERS: usize = 64;

/// The candidate nearest to a name, if it is near enough to be a typing mistake; of equally near ones the first.
pub(crate) fn nearest<'a>(candidates: impl IntoIterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().take(MAXIMUM_CHARACTERS + 1).collect();
    if wanted.len() > MAXIMUM_CHARACTERS {
        return None;
    }
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().take(MAXIMUM_CHARACTERS + 1).collect();
        let allowed = (letters.len().max(wanted.len()) / 3).max(1);
        if letters.len() > MAXIMUM_CHARACTERS || letters.len().abs_diff(wanted.len()) > allowed {
            continue;
        }
        let distance = distance(&letters, &wanted);
        if distance <= allowed && best.is_none_or(|(nearest, _)| distance < nearest) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and exchanges of neighbours, each counted once.
fn distance(left: &[char], right: &[char]) -> usize {
    let at = |line: &[usize], index: Option<usize>| {
        index.and_then(|index| line.get(index)).copied().unwrap_or(usize::MAX / 2)
    };
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    let mut last_left = None;
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut last_right = None;
        for (column, to) in right.iter().enumerate() {
            let mut cost = (at(&previous, Some(column)) + usize::from(from != to))
                .min(at(&previous, Some(column + 1)) + 1)
                .min(at(&current, Some(column)) + 1);
            if last_left == Some(*to) && last_right == Some(*from) {
                cost = cost.min(at(&before, column.checked_sub(1)) + 1);
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
    fn suggests_only_what_is_near() {
        assert_eq!(nearest(["order-reader", "order-writer"], "oder-reader"), Some("order-reader"));
        assert_eq!(nearest(["order-reader"], "order-raeder"), Some("order-reader"));
        assert_eq!(nearest(["order-reader"], "metrics"), None);
        assert_eq!(nearest([], "x"), None);
        assert_eq!(nearest(["a"], &"a".repeat(10_000)), None);
    }
}
