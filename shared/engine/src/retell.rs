//! After Redis has lost outcomes: every one that is still to be collected is told to it again.
//!
//! Each process notices the loss, one of them tells. Another one that comes to it later looks first what is
//! there, so that the work is not done once for each process.

use std::time::Duration;

use fleet_records::Stored;
use futures_util::{StreamExt as _, stream};

use crate::sweep::{Round, in_full};
use crate::{Engine, Error};

/// Challenges read at once.
const PAGE: usize = 1_000;
/// Outcomes under way to Redis at once: a few of its pipelines.
const AT_ONCE: usize = 512;
/// How often an outcome is told before the whole is begun anew.
const TRIES: u32 = 3;
/// Before another look at a retelling that failed or that another process is at.
const PAUSE: Duration = Duration::from_millis(500);

/// What came of an attempt to tell everything again.
enum Retold {
    /// All is there.
    All,
    /// Another process is at it.
    ByAnother,
    /// Redis did not take everything.
    InPart,
}

impl Engine {
    /// Tells everything again after each loss, until the stop.
    pub(crate) async fn retell_after_losses(self) -> anyhow::Result<()> {
        let mut epoch = self.inner.outcomes.epoch();
        let (mut done, mut late) = (0, false);
        let mut round = Round::new("retell");
        loop {
            let changed = tokio::select! {
                changed = epoch.wait_for(|epoch| *epoch != done) => changed.is_ok(),
                () = self.inner.stop.soft() => false,
            };
            if !changed {
                self.inner.stop.soft().await;
                return Ok(());
            }
            let lost = *epoch.borrow_and_update();
            match self.retell(late).await {
                Ok(Retold::All) => {
                    round.note(&self, None);
                    (done, late) = (lost, false);
                    continue;
                }
                Ok(Retold::ByAnother) => late = true,
                Ok(Retold::InPart) => round.note(&self, Some("Redis did not take everything".into())),
                Err(error) => round.note(&self, Some(in_full(error))),
            }
            if self.stops_within(PAUSE).await {
                return Ok(());
            }
        }
    }

    async fn retell(&self, only_missing: bool) -> Result<Retold, Error> {
        if !self.inner.records.knows_portals() {
            return Err(Error::PortalsNotLoaded);
        }
        let now = self.inner.records.now()?;
        let Some(mut retelling) = self.inner.records.retelling(now).await? else {
            return Ok(Retold::ByAnother);
        };
        let mut count = 0;
        while let Some(page) = retelling.next_page(PAGE).await? {
            count += page.len();
            let shown = stream::iter(page)
                .map(|stored| async move { self.is_shown(&stored, only_missing).await })
                .buffer_unordered(AT_ONCE)
                .all(std::future::ready)
                .await;
            if !shown || self.inner.stop.is_soft() {
                return Ok(Retold::InPart);
            }
        }
        self.inner.metrics.swept("lost", count);
        if count > 0 {
            tracing::info!(count, "outcomes were told to Redis again");
        }
        Ok(Retold::All)
    }

    /// Sees to it that Redis has this version.
    async fn is_shown(&self, stored: &Stored, only_missing: bool) -> bool {
        let key = &stored.challenge.key;
        if only_missing && matches!(self.inner.outcomes.get(&key.portal, key.id).await, Ok(Some(_))) {
            return true;
        }
        for _ in 0..TRIES {
            if self.show_again(stored).await {
                return true;
            }
        }
        false
    }
}
