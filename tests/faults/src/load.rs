//! The portal's part: asks, waits for each end as a portal does, and notes when what happened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_contracts::Outcome;
use fleet_domain::ChallengeId;
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use crate::codes::{Typed, Typing};
use crate::people::Person;
use crate::site::Site;

/// How long after its deadline an outcome is still waited for: a late one is a violation, a missing one a worse one.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two tries to have a request confirmed.
const AGAIN: Duration = Duration::from_millis(100);

/// What to ask for, and for how long.
pub(crate) struct Load {
    /// Challenges open at once; each waits for its end before the next one is asked for.
    pub(crate) in_flight: usize,
    /// How many to ask for at least.
    pub(crate) at_least: usize,
    /// How many to ask for at most, whatever is still missing then.
    pub(crate) at_most: usize,
    /// The most that are asked for in a second.
    pub(crate) rate: f64,
    pub(crate) answer_within: Duration,
}

/// One challenge as the portal saw it. Times count from the load's start.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: ChallengeId,
    /// Who was asked, as an index of the people.
    pub(crate) person: usize,
    pub(crate) asked: Duration,
    /// How long RabbitMQ took to confirm the request.
    pub(crate) confirmed_after: Duration,
    /// When the final outcome was read; `None` where it never was.
    pub(crate) ended: Option<Duration>,
    pub(crate) outcome: Option<Outcome>,
    /// What its portal saw that no portal may see.
    pub(crate) broken: Option<String>,
    /// Whether a right code that was typed may have been compared too late.
    pub(crate) too_old: bool,
}

/// What is going on, for whoever shows it or acts on it.
#[derive(Default)]
pub(crate) struct Going {
    pub(crate) asked: AtomicUsize,
    pub(crate) ended: AtomicUsize,
    /// Marks of the report's figure: when, and what was done.
    marks: Mutex<Vec<(Duration, String)>>,
}

impl Going {
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn mark(&self, at: Duration, what: impl Into<String>) {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).push((at, what.into()));
    }

    pub(crate) fn marks(&self) -> Vec<(Duration, String)> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Load {
    /// Asks until enough were asked for and `enough` says so, and waits for every end.
    pub(crate) async fn run(
        &self,
        site: &Site,
        people: &[Person],
        going: &Arc<Going>,
        enough: impl Fn() -> bool,
    ) -> Vec<Seen> {
        let start = Instant::now();
        let turns = (0..self.at_most).take_while(|turn| *turn < self.at_least || !enough());
        stream::iter(turns)
            .map(|turn| {
                let going = Arc::clone(going);
                async move {
                    let due = start + Duration::from_secs_f64(index_as_f64(turn) / self.rate);
                    tokio::time::sleep_until(due).await;
                    going.asked.fetch_add(1, Ordering::Relaxed);
                    let seen = self.one(site, people, (turn, start)).await;
                    going.ended.fetch_add(1, Ordering::Relaxed);
                    seen
                }
            })
            .buffer_unordered(self.in_flight)
            .collect::<Vec<Vec<Seen>>>()
            .await
            .concat()
    }

    /// One challenge of the person; of somebody who types codes two at once.
    async fn one(&self, site: &Site, people: &[Person], (turn, start): (usize, Instant)) -> Vec<Seen> {
        let index = turn % people.len();
        let person = &people[index];
        let mut seen = vec![self.ask(site, (index, person), start).await];
        if let Some(codes) = &person.codes {
            seen.push(self.ask(site, (index, person), start).await);
            let until = Instant::now() + self.answer_within;
            let typing = Typing { site, ids: [seen[0].id, seen[1].id], until };
            let typed = typing.run(codes).await;
            match typed.unwrap_or_else(|error| Typed::Broken(format!("its codes: {error:#}"))) {
                Typed::Kept => {}
                Typed::TooOld => seen.iter_mut().for_each(|seen| seen.too_old = true),
                Typed::Broken(what) => seen[0].broken = Some(what),
            }
        }
        for seen in &mut seen {
            seen.outcome = site.portal.wait(seen.id, self.answer_within + PATIENCE).await.ok();
            seen.ended = seen.outcome.as_ref().map(|_| start.elapsed());
        }
        seen
    }

    async fn ask(&self, site: &Site, (index, person): (usize, &Person), start: Instant) -> Seen {
        let draft = site.portal.draft(person.user.clone()).answer_within(self.answer_within);
        let asked = start.elapsed();
        // The same request again is harmless: what a portal does when a confirm does not come.
        while site.portal.challenge(&draft).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
        let confirmed_after = start.elapsed().saturating_sub(asked);
        Seen {
            id: draft.id(),
            person: index,
            asked,
            confirmed_after,
            ended: None,
            outcome: None,
            broken: None,
            too_old: false,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of challenges are far below 2^52")]
fn index_as_f64(index: usize) -> f64 {
    index as f64
}
