//! The tables: made by `init`, brought up to date by whichever node is first, one at a time.
//!
//! Always holds: a layout is made whole or not at all, under an advisory lock, so that nodes which start at once do not meet; a schema in
//! which other things are is not taken.

use std::path::PathBuf;

use tokio_postgres::types::Type;

use super::connect::{Connection, Target};
use super::fault::Failure;
use crate::error::{OpenError, StoreError};
use crate::nonce::fresh_nonce;

/// What each layout adds to the one before; `{s}` is the schema. The newest is the one that this version reads and writes.
const LAYOUTS: [&str; 1] = [include_str!("layout1.sql")];
const LAYOUT: usize = LAYOUTS.len();

/// The store's identity: drawn when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity(pub(super) String);

/// Makes the store if there is nothing yet.
pub(super) async fn open_or_create(target: &Target) -> Result<Identity, OpenError> {
    let connection = target.connect().await?;
    match found(&connection, target).await? {
        Some((identity, layout)) if layout == LAYOUT => Ok(identity),
        _ => migrate(&connection, target, true).await,
    }
}

/// Never makes one.
pub(super) async fn open(target: &Target) -> Result<Identity, OpenError> {
    let connection = target.connect().await?;
    match found(&connection, target).await? {
        Some((identity, layout)) if layout == LAYOUT => Ok(identity),
        Some(_) => migrate(&connection, target, false).await,
        None => Err(missing(target)),
    }
}

/// The identity and the layout of the store that is there.
async fn found(connection: &Connection, target: &Target) -> Result<Option<(Identity, usize)>, OpenError> {
    let table = format!("{}.store", target.url.schema);
    // Told apart from a table that one may not read: an absent schema and one without USAGE look alike to `to_regclass`.
    let there =
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = $1)";
    let rows = connection.query(there, &[(&table, Type::TEXT)]).await.map_err(Failure::into_error)?;
    if !rows.first().map(|row| connection.cell::<bool>(row, 0)).transpose()?.unwrap_or(false) {
        return Ok(None);
    }
    let rows = connection.query(&format!("SELECT id, layout FROM {table}"), &[]).await.map_err(Failure::into_error)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (id, layout) = (connection.cell::<String>(row, 0)?, connection.cell::<i32>(row, 1)?);
    match usize::try_from(layout) {
        Ok(layout) if (1..=LAYOUT).contains(&layout) => Ok(Some((Identity(id), layout))),
        _ => Err(OpenError::TooNew { path: PathBuf::from(target.url.place()), found: layout.unsigned_abs(), known: LAYOUT as u32 }),
    }
}

fn missing(target: &Target) -> OpenError {
    let why =
        "the schema holds no certfleet store; see that the URL names the right database and schema (`certfleet init` makes the store)";
    OpenError::Missing { path: PathBuf::from(target.url.place()), why: why.into() }
}

/// In one transaction, one node at a time. A connection that is lost on the way rolls it back.
async fn migrate(connection: &Connection, target: &Target, create: bool) -> Result<Identity, OpenError> {
    let schema = &target.url.schema;
    connection.execute("BEGIN; SET LOCAL lock_timeout = '12s'").await.map_err(Failure::into_error)?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('certfleet ' || $1, 0))";
    connection.query(lock, &[(schema, Type::TEXT)]).await.map_err(Failure::into_error)?;
    let mut layout = match found(connection, target).await? {
        Some((_, layout)) => layout,
        None if create => 0,
        None => return Err(missing(target)),
    };
    if layout == 0 {
        prepare_schema(connection, target).await?;
    }
    for step in &LAYOUTS[layout..] {
        connection.execute(&step.replace("{s}", schema)).await.map_err(Failure::into_error)?;
        layout += 1;
    }
    let id = fresh_nonce()?.as_str().to_owned();
    let set = format!("INSERT INTO {schema}.store (id, layout) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE SET layout = $2");
    let layout = i32::try_from(layout).map_err(|e| StoreError::Away { why: e.to_string() })?;
    connection.query(&set, &[(&id, Type::TEXT), (&layout, Type::INT4)]).await.map_err(Failure::into_error)?;
    connection.execute("COMMIT").await.map_err(Failure::into_error)?;
    found(connection, target).await?.map(|(identity, _)| identity).ok_or_else(|| missing(target))
}

/// Makes the schema, or sees that the one that is there is empty.
async fn prepare_schema(connection: &Connection, target: &Target) -> Result<(), OpenError> {
    let schema = &target.url.schema;
    let look =
        "SELECT (SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = n.oid LIMIT 1) FROM pg_namespace n WHERE n.nspname = $1";
    let rows = connection.query(look, &[(schema, Type::TEXT)]).await.map_err(Failure::into_error)?;
    match rows.first().map(|row| connection.cell::<Option<String>>(row, 0)).transpose()? {
        None => Ok(connection.execute(&format!("CREATE SCHEMA {schema}")).await.map_err(Failure::into_error)?),
        Some(None) => Ok(()),
        Some(Some(other)) => {
            let why = format!("the schema holds other things (`{}`); give an empty one (`?schema=…`)", other.escape_default());
            Err(OpenError::Missing { path: PathBuf::from(target.url.place()), why })
        }
    }
}
