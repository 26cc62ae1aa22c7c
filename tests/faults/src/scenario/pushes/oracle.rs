//! What the simulator's log and PostgreSQL must say of challenges by push: every device is pushed to, once more where the first
//! push may have been lost, and told when another one has answered; and a token is retired for one reason alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use fleet_domain::{Attempt, Challenge, ChallengeKey, DeviceId, Reason, Timestamp};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep};

use crate::audit::is_prompt_try;
use crate::load::Seen;
use crate::people::Person;
use crate::site::Site;

/// How long the last devices may take to be told.
const TELLING: Duration = Duration::from_secs(45);
/// How long before its deadline a device must be asked: its person takes [`super::PACE`], and its requests their time.
const ANSWERING: Duration = Duration::from_secs(30);
/// How long after its time a re-send may come, at the most.
const RETURNING: Duration = Duration::from_secs(10);
/// The share of challenges that a busy machine may ask too late, as one in so many.
const LATE_ONE_IN: usize = 10;
const AGAIN: Duration = Duration::from_millis(250);
/// What FCM says of tokens that are gone.
const GONE: [&str; 2] = ["UNREGISTERED", "APNS_UNREGISTERED"];

/// What was counted.
#[derive(Default)]
pub(super) struct Figures {
    /// Requests that a fault struck.
    pub(super) struck: u64,
    prompts: usize,
    sent_again: usize,
    told: usize,
    retired: usize,
    /// Sendings and retirements that died with their process.
    lost: u64,
    /// Challenges that were asked too late to be answered.
    late: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { struck, prompts, sent_again, told, retired, lost, late } = self;
        write!(
            f,
            "{prompts} prompts were delivered while {struck} requests were struck, {sent_again} challenges were sent once more, \
             {told} devices were told that another one had answered, {retired} tokens were retired, {lost} sendings and \
             retirements died with their process, and {late} challenges were asked too late to be answered"
        )
    }
}

/// What was sent, by challenge and token, each in the log's order.
type Sends<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Value>>>;

/// The simulator's log.
#[derive(Default)]
struct Log<'a> {
    prompts: Sends<'a>,
    ends: Sends<'a>,
    /// The devices that were told that their answer counts, by challenge.
    winners: BTreeMap<&'a str, Vec<&'a str>>,
    /// The tokens that FCM has called gone.
    gone: BTreeSet<&'a str>,
    /// Those among them for which it was its last word.
    gone_at_last: BTreeSet<&'a str>,
}

impl<'a> Log<'a> {
    fn read(facts: &'a [Value]) -> Self {
        let mut log = Self::default();
        for fact in facts {
            let text = |field: &str| fact[field].as_str().unwrap_or_default();
            if fact["fact"] == "push" {
                let sends = if is_prompt_try(fact) { &mut log.prompts } else { &mut log.ends };
                sends.entry(text("challenge")).or_default().entry(text("token")).or_default().push(fact);
            } else if fact["fact"] == "app_answered" && fact["status"] == 200 {
                log.winners.entry(text("challenge")).or_default().push(text("device"));
            }
        }
        let is_gone = |fact: &&Value| fact["error"].as_str().is_some_and(|error| GONE.contains(&error));
        for (token, tries) in log.prompts.values().chain(log.ends.values()).flatten() {
            if tries.iter().any(is_gone) {
                log.gone.insert(token);
            }
            if tries.last().is_some_and(is_gone) {
                log.gone_at_last.insert(token);
            }
        }
        log
    }

    fn prompts(&self, id: &str, token: &str) -> &[&'a Value] {
        self.prompts.get(id).and_then(|tokens| tokens.get(token)).map_or(&[], Vec::as_slice)
    }

    fn delivered(sends: &Sends<'_>) -> usize {
        sends.values().flat_map(BTreeMap::values).flatten().filter(|fact| is_delivered(fact)).count()
    }
}

fn is_delivered(fact: &Value) -> bool {
    fact["error"].is_null()
}

/// When it was written down.
fn at(fact: &Value) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(fact["at"].as_str()?, &Rfc3339).ok()?;
    Some(Timestamp::from_micros(i64::try_from(at.unix_timestamp_nanos() / 1_000).ok()?))
}

/// Whether FCM's answer left it open whether the push was delivered.
fn is_unclear(fact: &Value) -> bool {
    matches!(fact["fault"].as_str(), Some("error_before" | "error_after" | "reset_before" | "reset_after"))
}

/// Holds everything against each other. So many sendings may have died with their processes.
pub(super) async fn judge(
    site: &Site,
    people: &[Person],
    seen: &[Seen],
    lost_most: u64,
) -> anyhow::Result<(Figures, Vec<String>)> {
    let mut stories = Vec::new();
    for seen in seen {
        let person = people.get(seen.person).context("the person who was asked")?;
        let key = ChallengeKey { id: seen.id, portal: site.registered.name.clone() };
        // What is not stored is the audit's finding.
        let Some(stored) = site.records.load(&key).await? else { continue };
        stories.push(Story {
            challenge: stored.challenge,
            id: seen.id.to_string(),
            devices: person.addresses()?,
        });
    }
    let until = Instant::now() + TELLING;
    let facts = loop {
        let facts = site.facts().await?;
        let log = Log::read(&facts);
        if Instant::now() > until || stories.iter().all(|story| story.untold(&log).is_empty()) {
            break facts;
        }
        sleep(AGAIN).await;
    };
    let (log, mut figures, mut violations) = (Log::read(&facts), Figures::default(), Vec::new());
    for story in &stories {
        let mut found = story.never_asked(&log, &mut figures);
        found.extend(story.undecided(&log));
        found.extend(story.without_one_winner(&log));
        found.extend(story.untold(&log));
        found.extend(story.not_sent_again(&log, &mut figures));
        violations.extend(found.into_iter().map(|what| format!("{}: {what}", story.id)));
    }
    let late =
        stories.iter().filter(|story| !story.is_asked_in_time(&log) && !story.is_refused(&log)).count();
    figures.late = late;
    if late * LATE_ONE_IN > stories.len() {
        violations
            .push(format!("{late} of {} challenges were not asked in time, and not refused", stories.len()));
    }
    violations.extend(wrongly_retired(site, people, &log, &mut figures).await?);
    if figures.lost > lost_most {
        violations.push(format!(
            "{} sendings and retirements were not made, and no more than {lost_most} can have died with their processes",
            figures.lost
        ));
    }
    figures.struck = u64::try_from(
        facts.iter().filter(|fact| fact["fact"] == "push" && !fact["fault"].is_null()).count(),
    )?;
    figures.prompts = Log::delivered(&log.prompts);
    figures.told = Log::delivered(&log.ends);
    Ok((figures, violations))
}

/// A challenge as it was stored in the end, and the devices of its person.
struct Story {
    challenge: Challenge,
    id: String,
    devices: Vec<(DeviceId, String)>,
}

impl Story {
    fn reason(&self) -> Option<Reason> {
        self.challenge.live.end.as_ref().map(|end| end.reason)
    }

    fn ended_after(&self, at: Timestamp) -> bool {
        self.challenge.live.end.as_ref().is_some_and(|end| end.at > at)
    }

    fn attempt(&self) -> Option<&Attempt> {
        self.challenge.live.attempts.first()
    }

    /// Devices that no push was sent to, although they had an address. Where another one has it, or both sendings were committed,
    /// whoever did so may have died.
    fn never_asked(&self, log: &Log<'_>, figures: &mut Figures) -> Vec<String> {
        let is_asked = |token: &str| !log.prompts(&self.id, token).is_empty();
        let never: Vec<&str> = self
            .devices
            .iter()
            .map(|(_, token)| token.as_str())
            .filter(|token| !is_asked(token) && !log.gone.contains(token))
            .collect();
        let is_another = self.devices.iter().any(|(_, token)| is_asked(token));
        if is_another || self.attempt().is_some_and(|attempt| attempt.rounds > 1) {
            figures.lost += u64::from(!never.is_empty());
            return Vec::new();
        }
        never.iter().map(|token| format!("{token} was never pushed to")).collect()
    }

    /// Whoever has the prompt answers it, if there is time for that; and nobody waits for apps all of which FCM calls gone.
    fn undecided(&self, log: &Log<'_>) -> Option<String> {
        let all_gone = self.devices.iter().all(|(_, token)| log.gone.contains(token.as_str()));
        let gave_up = all_gone && self.reason() == Some(Reason::DeviceUnregistered);
        (self.is_asked_in_time(log) && self.reason() != Some(Reason::OkPush) && !gave_up)
            .then(|| format!("a device was asked, approves, and it ended as {:?}", self.reason()))
    }

    /// Whether a device was asked while there was time for an answer.
    fn is_asked_in_time(&self, log: &Log<'_>) -> bool {
        let delivered = |(_, token): &(DeviceId, String)| {
            log.prompts(&self.id, token).iter().any(|fact| is_delivered(fact) && self.is_in_time(fact))
        };
        self.devices.iter().any(delivered)
    }

    fn is_in_time(&self, fact: &Value) -> bool {
        at(fact).is_some_and(|at| at <= self.challenge.request.answer_by.minus(ANSWERING))
    }

    /// Whether every try to ask was refused, so that nobody could.
    fn is_refused(&self, log: &Log<'_>) -> bool {
        let mut tries = self.devices.iter().flat_map(|(_, token)| log.prompts(&self.id, token)).peekable();
        tries.peek().is_some() && tries.all(|fact| !is_delivered(fact))
    }

    /// More devices than one were told to have decided, or one though it was not approved. An app whose answer's answer got
    /// lost is told that the challenge has ended.
    fn without_one_winner(&self, log: &Log<'_>) -> Option<String> {
        let won = log.winners.get(self.id.as_str()).map_or(0, Vec::len);
        let most = usize::from(self.reason() == Some(Reason::OkPush));
        (won > most).then(|| format!("{won} devices have won"))
    }

    /// Devices that were asked, did not decide, and were not told that another one had.
    fn untold(&self, log: &Log<'_>) -> Vec<String> {
        if self.reason() != Some(Reason::OkPush) {
            return Vec::new();
        }
        let winners = log.winners.get(self.id.as_str());
        let untold = self.devices.iter().filter(|(device, token)| {
            let has_won = winners.is_some_and(|winners| winners.contains(&device.to_string().as_str()));
            let was_asked = log.prompts(&self.id, token).iter().any(|fact| is_delivered(fact));
            let is_told =
                log.ends.get(self.id.as_str()).is_some_and(|tokens| tokens.contains_key(token.as_str()));
            was_asked && !has_won && !is_told && !log.gone.contains(token.as_str())
        });
        let untold = untold.map(|(_, token)| format!("{token} was not told that it is over"));
        // One of them has won, and was not told even that.
        untold.skip(usize::from(winners.is_none())).collect()
    }

    /// Devices whose push may have been lost, and that were not sent it once more.
    fn not_sent_again(&self, log: &Log<'_>, figures: &mut Figures) -> Vec<String> {
        let Some(attempt) = self.attempt() else { return Vec::new() };
        let tries = |token: &str| log.prompts(&self.id, token);
        let is_once_unclear =
            |token: &str| matches!(tries(token), [only] if is_unclear(only) && self.is_in_time(only));
        let once_unclear: Vec<&str> = self
            .devices
            .iter()
            .map(|(_, token)| token.as_str())
            .filter(|token| is_once_unclear(token))
            .collect();
        if attempt.rounds > 1 && self.devices.iter().any(|(_, token)| tries(token).len() > 1) {
            figures.sent_again += 1;
        }
        match &attempt.resend {
            // It was noted, and committed, and whoever committed it died; or it was noted, and nobody came back for it.
            Some(resend) if attempt.rounds > 1 => {
                let is_owed = |(device, token): &&(DeviceId, String)| {
                    resend.devices.contains(device) && is_once_unclear(token)
                };
                figures.lost += self.devices.iter().filter(is_owed).map(|_| 1).sum::<u64>();
                Vec::new()
            }
            Some(resend) if self.ended_after(resend.not_before.plus(RETURNING)) => resend
                .devices
                .iter()
                .map(|device| format!("{device} was to be sent it again, and was not"))
                .collect(),
            Some(_) => Vec::new(),
            // A process died with what it knew, and the next one sent to all of them.
            None if attempt.rounds > 1 => Vec::new(),
            // FCM wants a longer pause than there is time.
            None if self
                .devices
                .iter()
                .any(|(_, token)| tries(token).iter().any(|fact| fact["error"] == "QUOTA_EXCEEDED")) =>
            {
                Vec::new()
            }
            // The first device that takes it is stored at once; whoever died then took the others' failures along.
            None => {
                figures.lost += u64::from(!once_unclear.is_empty());
                Vec::new()
            }
        }
    }
}

/// Tokens that were retired without FCM's having said that they are gone. Those that were not although it has are counted.
async fn wrongly_retired(
    site: &Site,
    people: &[Person],
    log: &Log<'_>,
    figures: &mut Figures,
) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for person in people {
        let user = site.records.user(&person.user).await?.context("the user is stored")?;
        for (device, token) in person.addresses()? {
            let kept = user.devices.iter().any(|stored| stored.id == device && stored.push_token.is_some());
            figures.retired += usize::from(!kept);
            // Tokens are retired beside what the push-worker is doing: one that dies then takes it along.
            figures.lost += u64::from(kept && log.gone_at_last.contains(token.as_str()));
            if !kept && !log.gone.contains(token.as_str()) {
                wrong.push(format!("{token} was retired, and FCM did not say that it is gone"));
            }
        }
    }
    Ok(wrong)
}
