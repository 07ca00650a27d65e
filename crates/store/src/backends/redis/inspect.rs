//! Is this a server that keeps what it is given? Asked at each new connection, since after a failover it is another one,
//! and now and then while it is used.

use std::collections::HashMap;

use super::fault::away;
use super::url::Address;
use crate::error::StoreError;

/// The oldest version whose protocol (RESP3) is spoken.
const VERSION_MIN: u32 = 6;

/// What matters of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// It writes what it is told to a log (`appendonly yes`).
    pub(super) is_persistent: bool,
}

/// Reads the answer to INFO, and refuses a server that must not be used.
pub(super) fn inspect(address: &Address, info: &str) -> Result<Report, StoreError> {
    let fields: HashMap<&str, &str> = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let field = |name: &str| fields.get(name).copied().unwrap_or("");
    let refused =
        |what: String, remedy: &str| StoreError::NeedsOperator { what: format!("Redis at {address} {what}"), remedy: remedy.into() };
    let version = field("redis_version");
    if version.split('.').next().and_then(|major| major.parse().ok()).is_none_or(|major: u32| major < VERSION_MIN) {
        return Err(refused(format!("has version `{version}`"), "certfleet needs Redis 6 or later, or Valkey"));
    }
    if field("cluster_enabled") == "1" {
        return Err(refused("is part of a Redis Cluster".into(), "give certfleet a server, or Sentinels and a master"));
    }
    if field("role") != "master" {
        let master = format!("{}:{}", field("master_host"), field("master_port"));
        return Err(away(
            address,
            &format!("it is a replica (of {master})"),
            "name the master in the store's URL, or the Sentinels that know it",
        ));
    }
    match field("maxmemory_policy") {
        "noeviction" => Ok(Report { is_persistent: field("aof_enabled") == "1" }),
        policy => {
            let remedy = "set `maxmemory-policy noeviction` there, or give certfleet a server of its own";
            Err(refused(format!("may throw records away when its memory is full (`maxmemory-policy {policy}`)"), remedy))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\ncluster_enabled:0\r\n";

    fn asked(info: &str) -> Result<Report, StoreError> {
        inspect(&Address { host: "db".into(), port: 1 }, info)
    }

    #[test]
    fn a_good_server_is_taken() {
        assert_eq!(asked(GOOD), Ok(Report { is_persistent: true }));
        assert_eq!(asked(&GOOD.replace("aof_enabled:1", "aof_enabled:0")), Ok(Report { is_persistent: false }));
    }

    #[test]
    fn others_are_refused() {
        for (from, to, kind, why) in [
            ("7.0.15", "5.0.3", ErrorKind::NeedsOperator, "needs Redis 6"),
            ("redis_version:7.0.15", "", ErrorKind::NeedsOperator, "needs Redis 6"),
            ("cluster_enabled:0", "cluster_enabled:1", ErrorKind::NeedsOperator, "Cluster"),
            ("noeviction", "allkeys-lru", ErrorKind::NeedsOperator, "`maxmemory-policy noeviction`"),
            ("noeviction", "volatile-ttl", ErrorKind::NeedsOperator, "`maxmemory-policy noeviction`"),
            ("role:master", "role:slave\r\nmaster_host:x\r\nmaster_port:7", ErrorKind::Retry, "replica (of x:7)"),
        ] {
            let error = asked(&GOOD.replace(from, to)).expect_err(to);
            assert!(error.kind() == kind && error.to_string().contains(why) && error.to_string().contains("db:1"), "{error}");
        }
    }
}
