//! Columns for people, in the style of `kubectl get`.

/// A table with a header; cells of a column are as wide as its widest, and the last column is as long as it is.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    line(&mut out, &widths, header.iter().copied());
    for row in rows {
        line(&mut out, &widths, row.iter().map(String::as_str));
    }
    out
}

fn line<'a>(out: &mut String, widths: &[usize], cells: impl Iterator<Item = &'a str>) {
    let padded: Vec<String> =
        widths.iter().zip(cells).map(|(width, cell)| format!("{cell:width$}")).collect();
    out.push_str(padded.join("   ").trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME     N\na        1\nlonger   2\n");
    }
}
