//! What no message brings: requests whose time is over, changes that are still to be stored, ends of tests that nobody has
//! told, and portals that are still to be told. Every enrollment-worker sweeps, none needs the others.

use std::time::Duration;

use fleet_domain::{Authority, Enrollment, EnrollmentEvent, EnrollmentReason, Timestamp};
use fleet_engine::Error;
use fleet_lifecycle::Stop;
use fleet_records::StoredEnrollment;
use futures_util::{StreamExt as _, stream};

use crate::worker::Worker;

const PAUSE: Duration = Duration::from_millis(500);
/// Requests that are taken up in one round.
const BATCH: u16 = 200;
/// Of them at once.
const AT_ONCE: usize = 8;
/// Requests that are read at once when Redis has lost them.
const PAGE: u16 = 500;

impl Worker {
    /// Sweeps until the stop.
    pub(crate) async fn sweep(self, stop: Stop) -> anyhow::Result<()> {
        let mut failing = false;
        while !stops_within(&stop, PAUSE).await {
            match self.sweep_once().await {
                Ok(()) if failing => {
                    tracing::info!("sweeps of enrollments are whole again");
                    failing = false;
                }
                Ok(()) => {}
                Err(error) if failing => {
                    tracing::debug!(%error, "a sweep of enrollments was cut short again");
                }
                Err(error) => {
                    tracing::warn!(%error, "a sweep of enrollments was cut short; the next ones take up the rest");
                    failing = true;
                }
            }
        }
        Ok(())
    }

    async fn sweep_once(&self) -> Result<(), Error> {
        let now = self.now()?;
        let due = self.records().due_enrollments(now, BATCH).await?;
        let carried = stream::iter(due).map(|stored| self.take_up(stored, now)).buffer_unordered(AT_ONCE);
        let carried: Vec<Result<(), Error>> = carried.collect().await;
        let untold = self.records().untold_enrollments(BATCH).await?;
        let telling = stream::iter(untold).map(|stored| async move { self.tell(&stored).await });
        telling.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
        carried.into_iter().collect()
    }

    async fn take_up(&self, stored: StoredEnrollment, now: Timestamp) -> Result<(), Error> {
        let stored = self.carry_on(stored).await?;
        let (key, request) = (stored.enrollment.key.clone(), &stored.enrollment.request);
        if !stored.enrollment.is_open() {
            return Ok(());
        }
        if request.respond_by < now {
            self.step(&key, Some(stored), &EnrollmentEvent::Expire).await?;
        } else if request.authority != Authority::Operator
            && self.records().user(&request.user).await?.is_some_and(|user| user.blocked)
        {
            let blocked = EnrollmentEvent::Refuse(EnrollmentReason::LockedOut);
            self.step(&key, Some(stored), &blocked).await?;
        }
        Ok(())
    }

    /// Tells everything again after Redis has lost it, until the stop.
    pub(crate) async fn retell_after_losses(self, stop: Stop) -> anyhow::Result<()> {
        let mut epoch = self.engine.outcomes().epoch();
        let mut done = 0;
        loop {
            let changed = tokio::select! {
                changed = epoch.wait_for(|epoch| *epoch != done) => changed.is_ok(),
                () = stop.soft() => false,
            };
            if !changed {
                stop.soft().await;
                return Ok(());
            }
            let lost = *epoch.borrow_and_update();
            match self.retell().await {
                Ok(true) => done = lost,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "enrollments are not told again yet"),
            }
            if stops_within(&stop, PAUSE).await {
                return Ok(());
            }
        }
    }

    /// Says whether Redis took everything.
    async fn retell(&self) -> Result<bool, Error> {
        let now = self.now()?;
        let mut last: Option<Enrollment> = None;
        loop {
            let page = self.records().collectable_enrollments(now, last.as_ref(), PAGE).await?;
            let Some(end) = page.last() else { return Ok(true) };
            last = Some(end.enrollment.clone());
            for stored in &page {
                let portal = self.engine.portal(&stored.enrollment.key.portal)?;
                if !self.show(&stored.enrollment, &portal).await {
                    return Ok(false);
                }
            }
        }
    }
}

async fn stops_within(stop: &Stop, pause: Duration) -> bool {
    tokio::time::timeout(pause, stop.soft()).await.is_ok()
}
