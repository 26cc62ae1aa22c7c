//! The oracle: what the simulator's log, PostgreSQL's audit, Redis and the portal's own notes say of each challenge,
//! held against each other as sets. Whatever does not agree is a violation, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use fleet_contracts::Outcome;
use fleet_domain::{ChallengeId, ChallengeKey, ChallengeResult, Reason};
use fleet_records::{AuditRow, Stored};
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::load::Seen;
use crate::people::Person;
use crate::site::Site;

/// How long a challenge may outlast its deadline.
const GRACE: Duration = Duration::from_secs(1);
/// How long the last late facts may take to come in: a call's end is reported four times, and then looked up.
const SETTLING: Duration = Duration::from_secs(45);
/// Challenges read at once.
const AT_ONCE: usize = 4;
/// The most pushes to one device for one challenge: the first, and one repetition.
const PUSHES_MOST: u32 = 2;

/// A call: challenge, attempt, the carrier's id of it.
pub(crate) type CallOf = (ChallengeId, u8, String);

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not stored, not ended, or never told.
    Lost,
    /// Called or pushed to once too often.
    Doubled,
    /// Ended too long after its deadline.
    Late,
    /// Two sources contradict each other, or one contradicts the person.
    Wrong,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) id: ChallengeId,
    pub(crate) kind: Kind,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

/// What the audit found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) violations: Vec<Violation>,
    /// The ends by reason.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// Ends that the person did not decide: honest failures of a fleet under fire.
    pub(crate) not_as_decided: u64,
    /// The furthest that an end came after its deadline; zero where none did.
    pub(crate) latest: Duration,
    pub(crate) calls: usize,
    pub(crate) pushes: u64,
    /// Challenges with more than one attempt.
    pub(crate) more_than_one_attempt: u64,
    /// Challenges in whose call the carrier reached no gateway at the URL and at the fallback URL either. It hangs up then, and
    /// tells no more of it than of a person who does.
    cut_off: BTreeSet<ChallengeId>,
}

/// Audits everything that the portal asked for.
pub(crate) async fn audit(site: &Site, people: &[Person], seen: &[Seen]) -> anyhow::Result<Findings> {
    let mut findings = Findings { cut_off: cut_off(&site.facts().await?), ..Findings::default() };
    let found: Vec<_> = stream::iter(seen)
        .map(|seen| async move { (seen, look(site, seen.id).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (mut audited, mut pushed_to) = (BTreeSet::new(), BTreeSet::new());
    for (seen, looked) in found {
        let Some(person) = people.get(seen.person) else { continue };
        match looked? {
            None => findings.violation(seen.id, Kind::Lost, "confirmed and nowhere stored"),
            Some(found) => {
                findings.judge(seen, person, &found);
                audited.extend(found.calls(seen.id));
                pushed_to.extend(person.push_tokens().map(|token| (seen.id, token)));
            }
        }
    }
    findings.compare_calls(site, &audited).await?;
    findings.compare_pushes(site, &pushed_to).await?;
    Ok(findings)
}

/// What is found of one challenge.
struct Found {
    stored: Stored,
    history: Vec<AuditRow>,
    outcome: Option<Outcome>,
    told: Outcome,
}

impl Found {
    fn calls(&self, id: ChallengeId) -> impl Iterator<Item = CallOf> + '_ {
        let notes = self.history.iter().flat_map(|row| &row.detail.attempts);
        notes.filter_map(move |note| Some((id, note.number, note.sid.clone()?)))
    }
}

/// Reads a challenge everywhere, once Redis has been told what PostgreSQL has, or has had the time for it.
async fn look(site: &Site, id: ChallengeId) -> anyhow::Result<Option<Found>> {
    let key = ChallengeKey { id, portal: site.registered.name.clone() };
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let Some(stored) = site.records.load(&key).await? else { return Ok(None) };
        let outcome = site.portal.outcome(id).await.ok().flatten();
        // As Redis has it: times are told in milliseconds.
        let told = Outcome::from_json(&Outcome::of(&stored.challenge, &site.registered).to_json())
            .context("an outcome can be read again")?;
        let agreed = outcome.as_ref().is_some_and(|outcome| outcome.seq == told.seq);
        if agreed || Instant::now() > until {
            let history = site.records.history(&key).await?;
            return Ok(Some(Found { stored, history, outcome, told }));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

impl Findings {
    /// The ends by reason, in words.
    pub(crate) fn reasons_in_words(&self) -> String {
        let each = self.reasons.iter().map(|(reason, count)| format!("{reason} {count}"));
        each.collect::<Vec<_>>().join(", ")
    }

    fn violation(&mut self, id: ChallengeId, kind: Kind, what: impl Into<String>) {
        self.violations.push(Violation { id, kind, what: what.into() });
    }

    fn judge(&mut self, seen: &Seen, person: &Person, found: &Found) {
        let challenge = &found.stored.challenge;
        let Some(end) = &challenge.live.end else {
            return self.violation(seen.id, Kind::Lost, "has not ended");
        };
        *self.reasons.entry(end.reason.as_str()).or_default() += 1;
        if !person.is_as_decided(end.reason) {
            self.not_as_decided += 1;
        }
        let is_cut_off = end.reason == Reason::HungUp && self.cut_off.contains(&seen.id);
        let is_too_old = end.reason == Reason::TotpMismatch && seen.too_old;
        let contradicted = person.contradicts(end.reason.result(), end.reason);
        if let Some(what) = contradicted.filter(|_| !is_cut_off && !is_too_old) {
            self.violation(
                seen.id,
                Kind::Wrong,
                format!("{what} ({:?}: {})", person.conduct, end.reason.as_str()),
            );
        }
        let late = end.at.since(challenge.request.answer_by);
        self.latest = self.latest.max(late);
        if late > GRACE {
            self.violation(seen.id, Kind::Late, format!("ended {late:?} after its deadline"));
        }
        if challenge.live.attempts.len() > 1 {
            self.more_than_one_attempt += 1;
        }
        self.judge_history(seen.id, &found.history, end.reason);
        match (&found.outcome, &seen.outcome) {
            (Some(outcome), _) if *outcome != found.told => {
                self.violation(seen.id, Kind::Wrong, "Redis does not say what PostgreSQL says");
            }
            (None, _) => self.violation(seen.id, Kind::Lost, "is not in Redis"),
            (Some(_), None) => self.violation(seen.id, Kind::Lost, "its portal never saw an end"),
            (Some(last), Some(first)) if (last.result, last.reason) != (first.result, first.reason) => {
                self.violation(seen.id, Kind::Wrong, "its portal saw another end before");
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// Versions without a gap, and exactly one that ended it.
    fn judge_history(&mut self, id: ChallengeId, history: &[AuditRow], reason: Reason) {
        let versions: Vec<u32> = history.iter().map(|row| row.version).collect();
        if !versions.iter().copied().eq((1..).take(versions.len())) {
            self.violation(id, Kind::Wrong, format!("its audit has the versions {versions:?}"));
        }
        let ends = history.iter().filter(|row| {
            row.result != ChallengeResult::Pending
                && row.detail.previous.is_none_or(|previous| previous == ChallengeResult::Pending)
        });
        if ends.count() != 1 {
            self.violation(id, Kind::Wrong, "its audit does not end it exactly once");
        }
        if history.iter().any(|row| row.detail.reason.is_some_and(|noted| noted != reason)) {
            self.violation(id, Kind::Wrong, "its audit knows two reasons");
        }
    }

    /// The carrier's calls and those of the audit are the same set, and no attempt has two.
    async fn compare_calls(&mut self, site: &Site, audited: &BTreeSet<CallOf>) -> anyhow::Result<()> {
        let placed = placed_calls(&site.facts().await?);
        self.calls = placed.len();
        let mut attempts = BTreeSet::new();
        for (id, attempt, sid) in &placed {
            if !attempts.insert((*id, *attempt)) {
                self.violation(
                    *id,
                    Kind::Doubled,
                    format!("attempt {attempt} was called twice, the second time as {sid}"),
                );
            }
        }
        for (id, attempt, sid) in audited.difference(&placed) {
            self.violation(
                *id,
                Kind::Wrong,
                format!("attempt {attempt} claims the call {sid}, which was never placed for it"),
            );
        }
        // The last facts of a call may still be on their way: a call's end is looked up when nothing tells of it.
        let missing: BTreeSet<_> = placed.difference(audited).cloned().collect();
        for (id, attempt, sid) in &missing {
            if !learns(site, *id, sid).await? {
                self.violation(
                    *id,
                    Kind::Wrong,
                    format!("attempt {attempt} was called as {sid}, and nobody knows"),
                );
            }
        }
        Ok(())
    }

    /// Every push was for the challenge and the device that it should be for, and not more than twice.
    async fn compare_pushes(
        &mut self,
        site: &Site,
        pushed_to: &BTreeSet<(ChallengeId, String)>,
    ) -> anyhow::Result<()> {
        let mut pushes: BTreeMap<(ChallengeId, String), u32> = BTreeMap::new();
        for fact in site.facts().await?.iter().filter(|fact| is_prompt(fact)) {
            let id = fact["challenge"].as_str().and_then(|id| ChallengeId::parse(id).ok());
            if let (Some(id), Some(token)) = (id, fact["token"].as_str()) {
                *pushes.entry((id, token.to_owned())).or_default() += 1;
            }
        }
        self.pushes = pushes.values().copied().map(u64::from).sum();
        for ((id, token), count) in pushes {
            if count > PUSHES_MOST {
                self.violation(id, Kind::Doubled, format!("{count} pushes to one device"));
            }
            if !pushed_to.contains(&(id, token)) {
                self.violation(id, Kind::Wrong, "a push to a device that it is not for");
            }
        }
        Ok(())
    }
}

/// Whether the fact is a push that asked for an answer and was delivered, whatever its sender was told.
pub(crate) fn is_prompt(fact: &Value) -> bool {
    is_prompt_try(fact) && fact["error"].is_null()
}

/// Whether the fact is a push that was to ask for an answer, delivered or not.
pub(crate) fn is_prompt_try(fact: &Value) -> bool {
    fact["fact"] == "push" && fact["event"] != "ended"
}

/// Whether the challenge comes to know the call within the time for late facts.
async fn learns(site: &Site, id: ChallengeId, sid: &str) -> anyhow::Result<bool> {
    let key = ChallengeKey { id, portal: site.registered.name.clone() };
    let until = Instant::now() + SETTLING;
    while Instant::now() < until {
        let stored = site.records.load(&key).await?;
        let attempts = stored.iter().flat_map(|stored| &stored.challenge.live.attempts);
        if attempts.into_iter().any(|attempt| attempt.sid.as_deref() == Some(sid)) {
            return Ok(true);
        }
        sleep(Duration::from_millis(250)).await;
    }
    Ok(false)
}

fn cut_off(facts: &[Value]) -> BTreeSet<ChallengeId> {
    let mut failed: BTreeMap<&str, u32> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact["fact"] == "fetched" && fact["status"].is_null()) {
        *failed.entry(fact["sid"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let calls = placed_calls(facts).into_iter();
    calls
        .filter(|(_, _, sid)| failed.get(sid.as_str()).is_some_and(|times| *times > 1))
        .map(|call| call.0)
        .collect()
}

/// The calls of the simulator's log, each with the challenge and the attempt that its URL names.
pub(crate) fn placed_calls(facts: &[Value]) -> BTreeSet<CallOf> {
    let created = facts.iter().filter(|fact| fact["fact"] == "call_created");
    created
        .filter_map(|fact| {
            // …/twilio/calls/{portal}/{challenge}/{attempt}/{token}
            let mut parts = fact["url"].as_str()?.split("/twilio/calls/").nth(1)?.split('/');
            let id = ChallengeId::parse(parts.nth(1)?).ok()?;
            Some((id, parts.next()?.parse().ok()?, fact["sid"].as_str()?.to_owned()))
        })
        .collect()
}
