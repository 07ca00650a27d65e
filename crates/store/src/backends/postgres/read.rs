//! Reading one key, and listing many.

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Envelope, Revision};
use certfleet_core::key::{KEY_BYTES_MAX, Key};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Database;
use super::connect::Connection;
use super::fault::Failure;
use crate::contract::{Listing, Stored, Unreadable};
use crate::error::StoreError;
use crate::revision::garbage_revision;

/// Rows that are fetched at once.
const PAGE_ROWS: usize = 500;
/// Bytes of a value that are fetched: one more than a value may have.
const FETCHED_BYTES_MAX: usize = ENVELOPE_BYTES_MAX + 1;

/// What stands in a row.
pub(super) struct Found {
    pub(super) revision: i64,
    length: i32,
    /// The beginning, if it is too long.
    pub(super) bytes: Vec<u8>,
}

impl Found {
    /// Columns `first` to `first + 2`: as [`columns`] names them.
    pub(super) fn of(connection: &Connection, row: &Row, first: usize) -> Result<Option<Self>, StoreError> {
        let Some(revision) = connection.cell::<Option<i64>>(row, first)? else { return Ok(None) };
        Ok(Some(Self { revision, length: connection.cell(row, first + 1)?, bytes: connection.cell(row, first + 2)? }))
    }

    pub(super) fn answer(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        match Envelope::from_bytes(&self.bytes) {
            Ok(envelope) => {
                let revision = envelope.revision(self.revision.to_string());
                Ok(Some(Stored { envelope, revision }))
            }
            Err(e) => Err(StoreError::Corrupt { key: key.clone(), why: format!("it is {e}"), revision: self.garbage() }),
        }
    }

    /// What names the value, whatever it is.
    pub(super) fn name(&self) -> Revision {
        match Envelope::from_bytes(&self.bytes) {
            Ok(envelope) => envelope.revision(self.revision.to_string()),
            Err(_) => self.garbage(),
        }
    }

    fn garbage(&self) -> Revision {
        garbage_revision(self.revision.to_string(), &self.bytes, u64::from(self.length.unsigned_abs()))
    }
}

/// What [`Found::of`] reads, of the table `r`.
pub(super) fn columns() -> String {
    format!("r.revision, octet_length(r.value) AS length, substring(r.value FROM 1 FOR {FETCHED_BYTES_MAX}) AS value")
}

impl Database {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let s = &self.schema;
        let sql = format!("SELECT s.id, {} FROM {s}.store s LEFT JOIN {s}.records r ON r.key = $1", columns());
        let (connection, rows) = self.fetch(&sql, &[(&key.as_str(), Type::TEXT)]).await?;
        let row = self.of_this_store(&connection, rows.first())?;
        Found::of(&connection, row, 1)?.map_or(Ok(None), |found| found.answer(key))
    }

    /// In pages, each a statement of its own.
    pub(super) async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let prefix = prefix.trim_end_matches('/');
        let (below, above) = (format!("{prefix}/"), format!("{prefix}0"));
        let wanted = if prefix.is_empty() { "true" } else { "(key = $2 OR (key >= $3 AND key < $4))" };
        let s = &self.schema;
        let sql = format!(
            "SELECT s.id, p.* FROM {s}.store s LEFT JOIN (SELECT {}, r.key FROM {s}.records r \
             WHERE key > $1 AND {wanted} ORDER BY key LIMIT {PAGE_ROWS}) p ON true ORDER BY p.key",
            columns()
        );
        let mut listing = Listing::default();
        let mut last = String::new();
        loop {
            let values: [(&(dyn ToSql + Sync), Type); 4] =
                [(&last, Type::TEXT), (&prefix, Type::TEXT), (&below, Type::TEXT), (&above, Type::TEXT)];
            let values = if prefix.is_empty() { &values[..1] } else { &values[..] };
            let (connection, rows) = self.fetch(&sql, values).await?;
            self.of_this_store(&connection, rows.first())?;
            for row in &rows {
                let Some(found) = Found::of(&connection, row, 1)? else { return Ok(listing) };
                last = connection.cell(row, 4)?;
                match last.parse::<Key>() {
                    Ok(key) => listing.add(&key, found.answer(&key))?,
                    Err(_) if prefix.is_empty() => listing.unreadable.push(foreign(&last)),
                    Err(_) => {}
                }
            }
            if rows.len() < PAGE_ROWS {
                return Ok(listing);
            }
        }
    }

    /// A question; asked once more if the connection broke, since connections that stood idle may have been cut unseen.
    async fn fetch(&self, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<(super::pool::Leased, Vec<Row>), StoreError> {
        let mut again = true;
        loop {
            let mut connection = self.pool.lease().await?;
            let answer = connection.query(sql, values).await;
            connection.after(&answer);
            match answer {
                Ok(rows) => return Ok((connection, rows)),
                Err(Failure::Lost(_)) if connection.is_closed() && again => again = false,
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    /// An answer counts only if it is of the store that was opened; it is in the first column.
    pub(super) fn of_this_store<'a>(&self, connection: &Connection, row: Option<&'a Row>) -> Result<&'a Row, StoreError> {
        let id = row.map(|row| connection.cell::<Option<String>>(row, 0)).transpose()?.flatten();
        match (row, id) {
            (Some(row), Some(id)) if id == self.identity.0 => Ok(row),
            (_, id) => Err(StoreError::NeedsOperator {
                what: format!(
                    "{} in {} {}",
                    self.schema,
                    connection.place(),
                    if id.is_some() { "is another store than the one that was opened" } else { "holds no store any more" }
                ),
                remedy: "see that the URL leads to the right database, or restart certfleet if this is intended".into(),
            }),
        }
    }
}

fn foreign(name: &str) -> Unreadable {
    let plain: String = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(KEY_BYTES_MAX).collect();
    let key = plain.parse().unwrap_or_else(|_| "records".parse().expect("`records` is a well-formed key"));
    Unreadable { key, why: "a row that certfleet did not write: its key is none; delete it if nobody needs it".into(), revision: None }
}
