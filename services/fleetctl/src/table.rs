//! Tables for people: aligned columns, two blanks apart.

use crate::print::{Screen, Style, clean};

/// One cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// Text from anywhere.
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()), ..Self::default() }
    }

    /// A number, aligned to the right.
    pub(crate) fn number(text: impl AsRef<str>) -> Self {
        Self { right: true, ..Self::text(text) }
    }

    /// The same cell in another style.
    pub(crate) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn padded(&self, width: usize, colour: bool) -> String {
        let blanks = " ".repeat(width - self.width());
        let painted = self.style.paint(&self.text, colour);
        if self.right { blanks + &painted } else { painted + &blanks }
    }
}

/// Rows under their heads, one line each.
pub(crate) fn lines(heads: &[&str], rows: &[Vec<Cell>], colour: bool) -> Vec<String> {
    let mut first: Vec<Cell> = heads.iter().map(|head| Cell::text(head).styled(Style::Bold)).collect();
    for (at, head) in first.iter_mut().enumerate() {
        head.right = rows.first().and_then(|row| row.get(at)).is_some_and(|cell| cell.right);
    }
    let all: Vec<&[Cell]> = std::iter::once(first.as_slice()).chain(rows.iter().map(Vec::as_slice)).collect();
    let width = |at: usize| all.iter().filter_map(|row| row.get(at)).map(Cell::width).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |row: &&[Cell]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| cell.padded(*width, colour)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// Prints the table.
pub(crate) fn print(
    screen: &mut Screen,
    heads: &[&str],
    rows: &[Vec<Cell>],
) -> Result<(), crate::error::Error> {
    lines(heads, rows, screen.colour()).iter().try_for_each(|line| screen.line(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::text("voice.dial"), Cell::number("7"), Cell::text("✓").styled(Style::Good)],
            vec![Cell::text("für\x1b"), Cell::number("12000"), Cell::text("")],
        ]
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let golden = "\
queue       messages
voice.dial         7  ✓
für\u{fffd}           12000";
        assert_eq!(lines(&["queue", "messages", ""], &rows(), false).join("\n"), golden);
    }

    #[test]
    fn colours_do_not_move_columns() {
        let coloured = lines(&["queue", "messages", ""], &rows(), true);
        assert_eq!(coloured[1], "voice.dial         7  \x1b[32m✓\x1b[0m");
    }
}
