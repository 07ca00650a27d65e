//! PostgreSQL that crashes and comes back.

use certfleet_testkit::postgres::{Postgres, PostgresOptions};

use super::{fleet, goes_on};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_outlives_a_crash_of_its_postgresql() {
    let Some(mut server) = Postgres::start(PostgresOptions::default()).await else { return };
    let database = server.new_database().await;
    let Some(mut fleet) = fleet(&server.url(&database)).await else { return };
    goes_on(&mut fleet, async {
        server.crash().await;
        server.run().await;
    })
    .await;
}
