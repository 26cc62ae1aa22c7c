//! Notices that Redis may have lost what was written to it.

use fleet_keys::random_bytes;
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{connection::Probe, names::Names};

/// Compares the server's run id and a mark in its data with what was there before.
///
/// Setting the mark also shows that the server takes writes, and so a replica or a full server is never taken for usable.
pub(crate) struct EpochProbe {
    mark: String,
    /// What this process writes where the mark is missing; unlike that of any other process.
    own_value: String,
    seen: Option<Seen>,
    epoch: watch::Sender<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    run_id: String,
    value: String,
}

impl EpochProbe {
    pub(crate) fn new(names: &Names, epoch: watch::Sender<u64>) -> Self {
        Self { mark: names.epoch(), own_value: random_hex(), seen: None, epoch }
    }

    /// A lost mark, another mark or another run of the server means that documents may be missing.
    fn note(&mut self, mark_was_missing: bool, now: Seen) {
        let changed = self.seen.as_ref().is_some_and(|before| *before != now);
        if mark_was_missing || changed {
            self.epoch.send_modify(|epoch| *epoch += 1);
            let epoch = *self.epoch.borrow();
            if self.seen.is_some() {
                warn!(epoch, "Redis may have lost outcomes: it was emptied, restarted or replaced");
            } else {
                // So it is at the first start of a fleet, too.
                info!(epoch, "Redis has no outcomes of this fleet yet, or has lost them");
            }
        }
        if mark_was_missing {
            self.own_value = random_hex();
        }
        self.seen = Some(now);
    }
}

impl Probe for EpochProbe {
    async fn probe(&mut self, mut connection: MultiplexedConnection) -> Result<(), RedisError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("INFO").arg("server");
        pipeline.cmd("SET").arg(&self.mark).arg(&self.own_value).arg("NX");
        pipeline.cmd("GET").arg(&self.mark);
        let (info, set, value): (String, Option<String>, Option<String>) =
            pipeline.query_async(&mut connection).await?;
        // Gone between the two commands: the next look will see it missing.
        if let Some(value) = value {
            self.note(set.is_some(), Seen { run_id: run_id(&info).to_owned(), value });
        }
        Ok(())
    }
}

fn run_id(info: &str) -> &str {
    info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default()
}

fn random_hex() -> String {
    format!("{:016x}", u64::from_le_bytes(random_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loss_changes_the_epoch() {
        let (sender, epoch) = watch::channel(0);
        let mut probe = EpochProbe::new(&Names::new("t"), sender);
        let seen = |run_id: &str, value: &str| Seen { run_id: run_id.to_owned(), value: value.to_owned() };
        for (case, missing, now, expected) in [
            ("a full server at the start", false, seen("r1", "a"), 0),
            ("the same again", false, seen("r1", "a"), 0),
            ("restarted with its data", false, seen("r2", "a"), 1),
            ("emptied, seen first by this process", true, seen("r2", "b"), 2),
            ("the same again", false, seen("r2", "b"), 2),
            ("emptied, seen first by another process", false, seen("r2", "c"), 3),
        ] {
            probe.note(missing, now);
            assert_eq!(*epoch.borrow(), expected, "{case}");
        }
    }

    #[test]
    fn the_run_id_is_found_in_the_servers_info() {
        assert_eq!(run_id("# Server\r\nredis_version:7.0.15\r\nrun_id:abc123\r\ntcp_port:1\r\n"), "abc123");
        assert_eq!(run_id(""), "");
    }
}
