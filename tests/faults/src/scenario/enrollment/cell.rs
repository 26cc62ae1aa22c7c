//! One kind of change at one point: its user is set up, a process that is to die there is started, the change is asked for,
//! another process goes on, and everything is held against each other.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fleet_contracts::EnrollmentOutcome;
use fleet_domain::{
    ChallengeId, ChallengeKey, Change, Channel, Enrollment, EnrollmentReason, EnrollmentResult, NextStep,
    Reason, RequestId, RequestKey,
};
use fleet_lifecycle::CrashPoint;
use fleet_portal_client::{Draft, SealedDraft};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Ground;
use super::kinds::{ANSWERS, ends_challenges, is_called, is_tested};
use crate::process::{Death, Process};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);
/// How long what is stored may take to agree with itself.
const READS_AGREE: Duration = Duration::from_secs(2);

/// A kind of change and the point at which a process dies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) change: Change,
    pub(super) point: CrashPoint,
    /// Which one of its lane.
    pub(super) number: usize,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.change, self.point.name())
    }
}

/// What came of a cell.
pub(super) struct Judged {
    pub(super) cell: Cell,
    /// Whether a process died at the point.
    pub(super) died: bool,
    pub(super) kills: u64,
    pub(super) violations: Vec<String>,
}

impl Judged {
    pub(super) fn word(&self) -> &'static str {
        match (self.died, self.violations.is_empty()) {
            (true, true) => "done",
            (false, _) => "not reached",
            (true, false) => "broken",
        }
    }

    fn hold(&mut self, holds: bool, what: impl fmt::Display) {
        if !holds {
            self.violations.push(format!("{}: {what}", self.cell));
        }
    }
}

/// What was set up before the change is asked for.
#[derive(Default)]
struct Before {
    /// A challenge that is open.
    open: Option<ChallengeId>,
    /// A request that is open, and gives way.
    older: Option<RequestId>,
}

impl Cell {
    /// Runs it. `others` are the processes of the lane that are no enrollment-workers.
    pub(super) async fn run(self, ground: &Ground<'_>, others: &mut Process) -> anyhow::Result<Judged> {
        let mut judged = Judged { cell: self, died: false, kills: 0, violations: Vec::new() };
        self.store_user(ground).await?;
        let mut draft = self.draft(ground)?;
        let mut before = Before::default();
        if needs_proof(ground, self.change) {
            draft = draft.proved_by(self.sign_in(ground).await?);
        }
        if self.change == Change::Recovery {
            draft = draft.after(self.missed(ground).await?);
        }
        if ends_challenges(self.change).is_some() {
            before.open = Some(self.leave_open(ground).await?);
        }
        let death = Some(Death { point: self.point, pass: 1, after_ms: 0 });
        let dies_elsewhere = self.point == CrashPoint::TestEnded;
        let mut worker = ground.start_worker(death.filter(|_| !dies_elsewhere))?;
        if dies_elsewhere {
            others.kill().await?;
            *others = ground.start_others(death)?;
            judged.kills += 1;
        }
        if self.point == CrashPoint::RequestSuperseded {
            before.older = Some(self.older_request(ground).await?);
        }
        let draft = draft.seal(&ground.site.enrollment_key()?);
        let id = ask(ground, &draft).await?;
        let dying = async {
            let dying = if dies_elsewhere { &mut *others } else { &mut worker };
            self.let_die(ground, dying, (id, &mut judged)).await
        };
        let (dying, carried) = tokio::join!(dying, self.carry(ground, id));
        dying?;
        if let Err(error) = carried {
            judged.violations.push(format!("{self}: {error:#}"));
        }
        self.judge(ground, (id, &before), &mut judged).await?;
        worker.kill().await?;
        judged.kills += 1;
        Ok(judged)
    }

    /// Waits for the death, looks at what is stored then, and starts another process.
    async fn let_die(
        self,
        ground: &Ground<'_>,
        dying: &mut Process,
        (id, judged): (RequestId, &mut Judged),
    ) -> anyhow::Result<()> {
        let Some(status) = dying.ends_within(PATIENCE).await? else {
            judged.hold(false, "no process came to the point");
            return Ok(());
        };
        judged.died = dying.died_as_wanted(status);
        judged.hold(judged.died, format_args!("a process ended otherwise than at the point: {status}"));
        judged.kills += 1;
        if self.change != Change::Recovery {
            self.hold_whole(ground, id, judged).await?;
        }
        *dying = if self.point == CrashPoint::TestEnded {
            ground.start_others(None)?
        } else {
            ground.start_worker(None)?
        };
        Ok(())
    }

    /// The change is stored whole or not at all. It is read twice, and another process may store it between the two; what is
    /// stored by half stays so.
    async fn hold_whole(self, ground: &Ground<'_>, id: RequestId, judged: &mut Judged) -> anyhow::Result<()> {
        let until = Instant::now() + READS_AGREE;
        loop {
            let stored = load(ground, id).await?;
            let is_done = stored.is_some_and(|stored| stored.result() == EnrollmentResult::Done);
            let is_stored = self.is_stored(ground).await.map_err(|error| error.to_string());
            let is_whole = is_stored == Ok(is_done);
            if is_whole || Instant::now() > until {
                judged.hold(
                    is_whole,
                    format_args!("at the death, done was {is_done} and stored {is_stored:?}"),
                );
                return Ok(());
            }
            sleep(AGAIN).await;
        }
    }

    /// The portal's part: answers questions when they are asked, and waits for the end.
    async fn carry(self, ground: &Ground<'_>, id: RequestId) -> anyhow::Result<()> {
        let outcome = async || shown(ground, id).await;
        if self.change == Change::Recovery {
            let is_asked = async || {
                Ok(outcome().await?.is_some_and(|shown| shown.next_step == Some(NextStep::AnswerQuestions)))
            };
            until("the questions are asked", is_asked).await?;
            let asked = outcome().await?.context("it was there before")?.questions;
            let given: Vec<(&str, &str)> =
                ANSWERS.into_iter().filter(|(question, _)| asked.iter().any(|one| one == question)).collect();
            let portal = &ground.site.portal;
            portal.answer((id, &self.user()?), &given, &ground.site.enrollment_key()?).await?;
        }
        if self.change == Change::DeviceActivate {
            self.activate(ground, id).await?;
        }
        let is_over =
            async || Ok(outcome().await?.is_some_and(|shown| shown.result != EnrollmentResult::Pending));
        until("the change is done", is_over).await
    }

    async fn judge(
        self,
        ground: &Ground<'_>,
        (id, before): (RequestId, &Before),
        judged: &mut Judged,
    ) -> anyhow::Result<()> {
        let found = settled(ground, id).await?;
        let end = found.live.end.as_ref().map(|end| end.reason);
        judged.hold(end == Some(EnrollmentReason::Ok), format_args!("it ended as {end:?}"));
        let is_stored = self.is_stored(ground).await.map_err(|error| error.to_string());
        judged.hold(is_stored == Ok(true), format_args!("its change is stored: {is_stored:?}"));
        judge_versions(ground, &found, judged).await?;
        judge_redis(ground, &found, judged).await?;
        if is_tested(self.change) {
            judged.hold(found.live.tests.len() == 1, "it had more than one test");
        }
        if is_called(self.change) {
            let calls = calls_to(ground, &self.tested()).await?;
            judged.hold(calls == 1, format_args!("its test called {calls} times"));
        }
        if let Some(open) = before.open {
            let expected = ends_challenges(self.change);
            let reason = end_of(ground, open).await?;
            judged.hold(reason == expected, format_args!("what was open of its user ended as {reason:?}"));
        }
        if let Some(older) = before.older {
            let older = settled(ground, older).await?;
            let end = older.live.end.as_ref().map(|end| end.reason);
            judged.hold(
                end == Some(EnrollmentReason::Superseded),
                format_args!("the older request ended as {end:?}"),
            );
            judge_versions(ground, &older, judged).await?;
            judge_redis(ground, &older, judged).await?;
            let test = older.live.tests.first().context("the older request has a test")?.id;
            let reason = end_of(ground, test).await?;
            // A block may come to it before the request that gave way does.
            let by_the_change = reason.is_some() && reason == ends_challenges(self.change);
            let is_right = reason == Some(Reason::Superseded) || by_the_change;
            judged.hold(is_right, format_args!("the older test ended as {reason:?}"));
            let calls = calls_to(ground, &self.older().1).await?;
            judged.hold(calls == 1, format_args!("the older test called {calls} times"));
        }
        Ok(())
    }

    /// Two phones scan the code at once. One of them is bound, and tested.
    async fn activate(self, ground: &Ground<'_>, id: RequestId) -> anyhow::Result<()> {
        let at = async |step| Ok(shown(ground, id).await?.is_some_and(|shown| shown.next_step == Some(step)));
        until("a code is shown", async || at(NextStep::ActivateDevice).await).await?;
        let activation = shown(ground, id).await?.and_then(|shown| shown.activation);
        let qr = activation.and_then(|activation| activation.qr).context("a code that can be scanned")?;
        let scan = async |name: &str| {
            // Visible characters alone, as tokens are.
            let token = format!("{name} of {self}").replace(' ', "-");
            let order =
                json!({ "qr": qr, "name": name, "fcm_token": token, "approves": true, "after": "0s" });
            ground.site.activate(&order).await
        };
        let (first, second) = tokio::join!(scan("the first phone"), scan("the second phone"));
        let mut statuses = [first?, second?];
        statuses.sort_unstable();
        ensure!(statuses == [201, 409], "two phones with one code were answered {statuses:?}");
        until("the test is offered", async || at(NextStep::BeginTest).await).await?;
        Ok(ground.site.portal.test_again(id, None).await?)
    }

    /// A sign-in by the app, which proves who asks.
    async fn sign_in(self, ground: &Ground<'_>) -> anyhow::Result<ChallengeId> {
        let draft = ground.site.portal.draft(self.user()?);
        let id = challenge(ground, &draft).await?;
        let reason = end_of(ground, id).await?;
        ensure!(reason == Some(Reason::OkPush), "a sign-in ended as {reason:?}");
        Ok(id)
    }

    /// A sign-in that can't reach the person.
    async fn missed(self, ground: &Ground<'_>) -> anyhow::Result<ChallengeId> {
        let id = challenge(ground, &ground.site.portal.draft(self.user()?).by(Channel::Voice)).await?;
        let reason = end_of(ground, id).await?;
        ensure!(reason == Some(Reason::Busy), "a sign-in ended as {reason:?}");
        Ok(id)
    }

    /// A sign-in whose phone rings.
    async fn leave_open(self, ground: &Ground<'_>) -> anyhow::Result<ChallengeId> {
        let id = challenge(ground, &ground.site.portal.draft(self.user()?).by(Channel::Voice)).await?;
        until("a phone rings", async || Ok(calls_to(ground, &self.primary()).await? == 1)).await?;
        Ok(id)
    }

    /// A request whose test rings until it gives way.
    async fn older_request(self, ground: &Ground<'_>) -> anyhow::Result<RequestId> {
        let draft = self.older_draft(ground)?.seal(&ground.site.enrollment_key()?);
        let id = ask(ground, &draft).await?;
        until("the older test rings", async || Ok(calls_to(ground, &self.older().1).await? == 1)).await?;
        Ok(id)
    }
}

/// Whether the change must be proved by a sign-in.
fn needs_proof(ground: &Ground<'_>, change: Change) -> bool {
    !ground.policy.operators && !matches!(change, Change::Enroll | Change::PhoneTest | Change::Recovery)
}

/// Every version has one act.
async fn judge_versions(ground: &Ground<'_>, found: &Enrollment, judged: &mut Judged) -> anyhow::Result<()> {
    let acts = format!("SELECT version FROM acts WHERE id = '{}' ORDER BY version", found.key.id);
    let acts = ground.sql(&acts).await?;
    let expected = (1..=found.version).map(|version| version.to_string()).collect::<Vec<_>>();
    judged.hold(acts.lines().eq(expected.iter()), format_args!("its acts are of the versions {acts:?}"));
    Ok(())
}

/// Redis has what is stored.
async fn judge_redis(ground: &Ground<'_>, found: &Enrollment, judged: &mut Judged) -> anyhow::Result<()> {
    let told = EnrollmentOutcome::of(found, &ground.site.registered);
    let told = EnrollmentOutcome::from_json(&told.to_json()).context("an outcome can be read again")?;
    let shown = shown(ground, found.key.id).await?;
    judged.hold(shown.as_ref() == Some(&told), "Redis does not say what PostgreSQL says");
    Ok(())
}

/// What Redis says of a request. A read that fails is tried again, as a portal does.
async fn shown(ground: &Ground<'_>, id: RequestId) -> anyhow::Result<Option<EnrollmentOutcome>> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ground.site.portal.enrollment_outcome(id).await {
            Err(fleet_portal_client::Error::Unreadable(_)) if Instant::now() < until => sleep(AGAIN).await,
            read => return Ok(read?),
        }
    }
}

async fn challenge(ground: &Ground<'_>, draft: &Draft) -> anyhow::Result<ChallengeId> {
    let asked = async || is_taken(ground.site.portal.challenge(draft).await);
    until("a queue takes the challenge", asked).await?;
    Ok(draft.id())
}

async fn ask(ground: &Ground<'_>, draft: &SealedDraft) -> anyhow::Result<RequestId> {
    let asked = async || is_taken(ground.site.portal.enroll(draft).await);
    until("a queue takes the request", asked).await?;
    Ok(draft.id())
}

/// Queues are declared while processes start; what breaks the contract is never taken.
fn is_taken<T>(asked: Result<T, fleet_portal_client::Error>) -> anyhow::Result<bool> {
    match asked {
        Err(fleet_portal_client::Error::Invalid(invalid)) => Err(invalid.into()),
        asked => Ok(asked.is_ok()),
    }
}

async fn load(ground: &Ground<'_>, id: RequestId) -> anyhow::Result<Option<Enrollment>> {
    let key = RequestKey { id, portal: ground.site.registered.name.clone() };
    Ok(ground.site.records.enrollment(&key).await?.map(|stored| stored.enrollment))
}

/// The request once it has ended and its portal is told.
async fn settled(ground: &Ground<'_>, id: RequestId) -> anyhow::Result<Enrollment> {
    let key = RequestKey { id, portal: ground.site.registered.name.clone() };
    let look = async || ground.site.records.enrollment(&key).await;
    let is_settled = async || {
        let stored = look().await?;
        Ok(stored
            .is_some_and(|stored| !stored.enrollment.is_open() && stored.told == stored.enrollment.version))
    };
    // What is not comes out by what is held against it.
    let _ = until("the end is told", is_settled).await;
    Ok(look().await?.context("the request is stored")?.enrollment)
}

/// How a challenge has ended, once it has.
async fn end_of(ground: &Ground<'_>, id: ChallengeId) -> anyhow::Result<Option<Reason>> {
    let key = ChallengeKey { id, portal: ground.site.registered.name.clone() };
    let end = async || {
        let stored = ground.site.records.load(&key).await?;
        Ok::<_, anyhow::Error>(stored.and_then(|stored| stored.challenge.live.end).map(|end| end.reason))
    };
    let _ = until("a challenge ends", async || Ok(end().await?.is_some())).await;
    end().await
}

async fn calls_to(ground: &Ground<'_>, number: &str) -> anyhow::Result<usize> {
    let facts = ground.site.facts().await?;
    Ok(facts.iter().filter(|fact| fact["fact"] == "call_created" && fact["to"] == number).count())
}

async fn until(what: &str, holds: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if holds().await? {
            return Ok(());
        }
        sleep(AGAIN).await;
    }
    anyhow::bail!("in vain for {PATIENCE:?}: {what}")
}
