//! Tables for people: no lines, ASCII between the columns. On a terminal the last column is wrapped to its width; elsewhere, and where that
//! leaves too little, a row is a line, however wide. Names are never broken.

mod status;

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};

pub use status::{state, status};

use crate::out;

/// The narrowest last column that is worth wrapping.
const LAST_COLUMN_MIN: u16 = 16;
/// What stands between two columns.
const GAP: u16 = 2;

/// A table under construction.
#[derive(Debug)]
pub struct Columns(Table);

impl Columns {
    /// With these headings.
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(headings);
        Self(table)
    }

    /// One more row. Text from outside is made printable.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells.iter().map(|cell| out::printable(cell)));
    }

    /// The text, within `width` columns if there is a limit that can be held.
    pub fn print(mut self, width: Option<u16>) -> String {
        let widths = self.0.column_max_content_widths();
        let fixed: u16 = widths.iter().rev().skip(1).map(|column| column.saturating_add(GAP)).sum();
        for column in self.0.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        if let Some(width) = width.filter(|width| fixed.saturating_add(LAST_COLUMN_MIN + GAP) <= *width) {
            self.0.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            let last = widths.len().saturating_sub(1);
            for column in self.0.column_iter_mut().take(last) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self.0.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(width: Option<u16>) -> String {
        let mut columns = Columns::new(["NAME", "SERVED"]);
        columns.row(["long.name.example.com".into(), "installed: nobody listens on 127.0.0.1:443".into()]);
        columns.print(width)
    }

    #[test]
    fn only_the_last_column_is_wrapped() {
        let wrapped = printed(Some(50));
        assert!(wrapped.lines().count() > 2 && wrapped.lines().all(|line| line.len() <= 50), "{wrapped}");
        assert!(wrapped.contains("long.name.example.com  installed"), "{wrapped}");
    }

    #[test]
    fn without_room_or_without_a_terminal_a_row_is_a_line() {
        for width in [None, Some(30)] {
            assert_eq!(
                printed(width),
                "NAME                   SERVED\nlong.name.example.com  installed: nobody listens on 127.0.0.1:443\n"
            );
        }
    }
}
