//! Tables for people: no lines, ASCII between the columns, as wide as the terminal; elsewhere a row is a line, whatever its width.

mod status;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

pub use status::{state, status};

use crate::out;

/// The narrowest table that is tried, in columns.
const COLUMNS_MIN: u16 = 40;

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

    /// The text, within `width` columns if there is a limit.
    pub fn print(mut self, width: Option<u16>) -> String {
        if let Some(width) = width {
            self.0.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(COLUMNS_MIN));
        }
        for column in self.0.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.0.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
    }
}
