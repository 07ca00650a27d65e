//! One write: one statement that compares and swaps.
//!
//! Always holds: the row is changed only where its revision *and* its nonce are the expected ones, and only in the store that was opened. A
//! value that was written by hand has no nonce in its row: it is then compared as a whole.

use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::Key;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Database;
use super::fault::Failure;
use super::read::{Found, columns};
use crate::contract::Put;
use crate::error::StoreError;
use crate::nonce::fresh_nonce;
use crate::revision::is_expected;

/// What is written, and what names it beside the number it gets.
pub(super) struct New {
    nonce: Nonce,
    change: u64,
    /// `None`: the row goes.
    bytes: Option<Vec<u8>>,
}

/// How the row is known.
enum Is {
    Absent,
    /// By its revision and the nonce in it.
    Named(i64, String),
    /// By its revision and the hash of its value.
    Whole(i64, Vec<u8>),
}

/// What one statement did.
struct Done {
    /// The revision that it gave.
    revision: Option<i64>,
    /// Whether a row with the expected revision was there when it began.
    seen: bool,
}

impl New {
    /// A value.
    pub(super) fn value(key: &Key, value: &Envelope) -> Result<Self, StoreError> {
        let bytes = value.to_bytes().map_err(|e| StoreError::Unfit { key: key.clone(), why: e.to_string() })?;
        Ok(Self { nonce: value.nonce.clone(), change: value.change, bytes: Some(bytes) })
    }

    /// A deletion.
    pub(super) fn nothing() -> Result<Self, StoreError> {
        Ok(Self { nonce: fresh_nonce()?, change: 0, bytes: None })
    }
}

impl Database {
    /// Writes `new` if what is there is as expected.
    pub(super) async fn write(&self, key: &Key, new: &New, expect: &Expect) -> Result<Put, StoreError> {
        let is = match expect {
            Expect::Absent => Is::Absent,
            Expect::Revision(expected) => match number(expected) {
                Some(number) => Is::Named(number, expected.nonce.as_str().to_owned()),
                None => return Ok(Put::Conflict),
            },
        };
        let answer = self.swap(key, new, &is).await;
        match (answer, is) {
            (Ok(Done { revision: None, seen: true }), Is::Named(number, _)) => self.write_over_foreign(key, new, expect, number).await,
            (answer, _) => self.settle(key, new, answer),
        }
    }

    /// The row has the expected revision and not the expected nonce: it may have been written by hand, or by a version that reads it otherwise.
    async fn write_over_foreign(&self, key: &Key, new: &New, expect: &Expect, number: i64) -> Result<Put, StoreError> {
        let sql = format!("SELECT {}, sha256(r.value) FROM {}.records r WHERE r.key = $1 AND r.revision = $2", columns(), self.schema);
        let mut connection = self.pool.lease().await?;
        let answer = connection.query(&sql, &[(&key.as_str(), Type::TEXT), (&number, Type::INT8)]).await;
        connection.after(&answer);
        let rows = answer.map_err(Failure::into_error)?;
        let Some(row) = rows.first() else { return Ok(Put::Conflict) };
        let Some(found) = Found::of(&connection, row, 0)? else { return Ok(Put::Conflict) };
        let hash = connection.cell::<Vec<u8>>(row, 3)?;
        drop(connection);
        if !is_expected(Some(&found.name()), expect) {
            return Ok(Put::Conflict);
        }
        let answer = self.swap(key, new, &Is::Whole(number, hash)).await;
        self.settle(key, new, answer)
    }

    fn settle(&self, key: &Key, new: &New, answer: Result<Done, Failure>) -> Result<Put, StoreError> {
        match answer {
            Ok(Done { revision: Some(revision), .. }) => {
                Ok(Put::Done(Revision { engine: revision.to_string(), nonce: new.nonce.clone(), change: new.change }))
            }
            Ok(Done { revision: None, .. }) => Ok(Put::Conflict),
            Err(Failure::Lost(why)) => Ok(Put::Unknown(why)),
            Err(Failure::Refused(StoreError::NotDurable { why, .. })) => Err(StoreError::NotDurable { key: key.clone(), why }),
            Err(Failure::Refused(error)) => Err(error),
        }
    }

    /// The statement.
    async fn swap(&self, key: &Key, new: &New, is: &Is) -> Result<Done, Failure> {
        let mut connection = self.pool.lease().await.map_err(Failure::Refused)?;
        let key_text = key.as_str();
        let (number, known) = match is {
            Is::Absent => (0, Vec::new()),
            Is::Named(number, nonce) => (*number, nonce.as_bytes().to_vec()),
            Is::Whole(number, hash) => (*number, hash.clone()),
        };
        let known_text = String::from_utf8_lossy(&known);
        let known_value: (&(dyn ToSql + Sync), Type) =
            if matches!(is, Is::Whole(..)) { (&known, Type::BYTEA) } else { (&known_text, Type::TEXT) };
        let nonce = new.nonce.as_str();
        let values: [(&(dyn ToSql + Sync), Type); 6] = [
            (&self.identity.0, Type::TEXT),
            (&key_text, Type::TEXT),
            (&number, Type::INT8),
            known_value,
            (&nonce, Type::TEXT),
            (&new.bytes, Type::BYTEA),
        ];
        let answer = connection.query(&statement(&self.schema, is, new.bytes.is_some()), &values).await;
        connection.after(&answer);
        let rows = answer?;
        let done = self.done(&connection, rows.first()).map_err(Failure::Refused)?;
        if connection.take_unsynced() && done.revision.is_some() {
            let why = format!("{} gave up waiting for its synchronous standbys; see pg_stat_replication", connection.place());
            return Err(Failure::Refused(StoreError::NotDurable { key: key.clone(), why }));
        }
        Ok(done)
    }

    fn done(&self, connection: &super::connect::Connection, row: Option<&Row>) -> Result<Done, StoreError> {
        let row = self.of_this_store(connection, row)?;
        Ok(Done { revision: connection.cell(row, 1)?, seen: connection.cell(row, 2)? })
    }
}

/// The engine's part of a revision, if it is one that this engine gave.
fn number(revision: &Revision) -> Option<i64> {
    revision.engine.parse().ok().filter(|number: &i64| number.to_string() == revision.engine)
}

/// Every statement takes the same six values: the store's id, the key, the expected revision, what else the row is known by, and the new
/// nonce and value. It answers with the store's id, the new revision if it did anything, and whether the expected revision was there.
fn statement(s: &str, is: &Is, is_value: bool) -> String {
    let this_store = format!("EXISTS (SELECT FROM {s}.store WHERE id = $1)");
    let known = match is {
        Is::Whole(..) => "sha256(value) = $4",
        _ => "nonce = $4",
    };
    let row = format!("key = $2 AND revision = $3 AND {known} AND {this_store}");
    let (change, revision) = match (is, is_value) {
        (Is::Absent, _) => {
            let insert =
                format!("INSERT INTO {s}.records (key, nonce, value) SELECT $2, $5, $6 WHERE {this_store} ON CONFLICT (key) DO NOTHING");
            (insert, "revision".to_owned())
        }
        (_, true) => (format!("UPDATE {s}.records SET nonce = $5, value = $6 WHERE {row}"), "revision".to_owned()),
        (_, false) => (format!("DELETE FROM {s}.records WHERE {row}"), format!("nextval('{s}.revisions') AS revision")),
    };
    format!(
        "WITH done AS ({change} RETURNING {revision}) SELECT (SELECT id FROM {s}.store), (SELECT revision FROM done), \
         EXISTS (SELECT FROM {s}.records WHERE key = $2 AND revision = $3)"
    )
}
