//! Authenticator apps: a push wakes one, it asks the gateway for its open challenges and answers as its script says.
//!
//! `app/gateway.rs` has what it sends, `app/account.rs` how it gets and loses its account, `app/waiting.rs` what it is
//! busy with. How scripts are written is in `cast/app_script.rs`.

mod account;
mod gateway;
mod totp;
mod waiting;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::cast::{Decision, Device, Typing};
use crate::device_key::DeviceKey;
use crate::journal::Fact;
use crate::world::World;

pub(crate) use account::{Activation, Rotation, activate, revoke, rotate};
use gateway::{Challenge, Way};
pub(crate) use gateway::{Push, Reply};
pub(crate) use totp::Totp;
use waiting::{Waiting, Work};

/// How long after `answer_by` a late answer is sent, in real time: more than clocks differ.
const LATE: Duration = Duration::from_millis(500);

/// What all apps share.
pub(crate) struct Apps {
    way: Way,
    waiting: Waiting,
}

impl Apps {
    pub(crate) fn new() -> reqwest::Result<Self> {
        Ok(Self { way: Way::new()?, waiting: Waiting::default() })
    }
}

/// What a push says, as far as it says anything.
#[derive(Clone, Copy)]
pub(crate) struct Notice<'a> {
    pub(crate) event: Option<&'a str>,
    pub(crate) portal: Option<&'a str>,
    pub(crate) challenge: Option<&'a str>,
}

/// Delivers a push to its app.
pub(crate) fn receive(world: &Arc<World>, device: Arc<Device>, notice: Notice<'_>) {
    let (Some(portal), Some(challenge)) = (notice.portal, notice.challenge) else { return };
    if device.is_removed() {
        return;
    }
    let work = Work { device: device.id, portal: portal.to_owned(), challenge: challenge.to_owned() };
    match notice.event {
        None | Some("challenge") => begin(world, device, work),
        Some("ended") => {
            let waited = world.apps.waiting.withdraw(&work);
            if waited {
                count(world, "withdrawn");
            }
            world.journal.record(&Fact::AppWithdrawn { device: device.id, portal, challenge, waited });
        }
        Some(_) => {}
    }
}

/// Lets an app that polls begin to.
pub(crate) fn poll(world: &Arc<World>, device: Arc<Device>) {
    if device.script.polls.is_zero() {
        return;
    }
    let world = Arc::clone(world);
    let tasks = world.tasks.clone();
    tasks.spawn_detail("polling app", async move {
        let mut seen = HashSet::new();
        let mut last = Some(200);
        loop {
            tokio::select! {
                () = tokio::time::sleep(world.time.real(device.script.polls)) => {}
                () = world.stop.soft() => return,
            }
            if device.is_removed() {
                return;
            }
            let (status, open) = world.apps.way.list(&world, &device).await;
            // A line for each poll would hide everything else in the log.
            if status != last && status != Some(200) {
                let nothing = Fact::AppListed { device: device.id, challenge: None, status, open: None };
                world.journal.record(&nothing);
            }
            last = status;
            for Challenge { portal, id: challenge, .. } in open {
                let work = Work { device: device.id, portal, challenge };
                if seen.insert(work.clone()) {
                    begin(&world, Arc::clone(&device), work);
                }
            }
        }
    });
}

/// Begins with a challenge, unless the app is at it already.
fn begin(world: &Arc<World>, device: Arc<Device>, work: Work) {
    if device.script.decision.is_none() && !device.script.opens {
        return;
    }
    let Some(withdrawn) = world.apps.waiting.begin(work.clone()) else { return };
    let world = Arc::clone(world);
    let tasks = world.tasks.clone();
    tasks.spawn_detail("app", async move {
        let acting = async {
            let decided = tokio::select! {
                decided = decide(&world, &device, &work) => decided,
                // The sender is taken, not dropped, before an answer: an error means the same as a withdrawal.
                _ = withdrawn => None,
            };
            if let Some(decided) = decided
                && world.apps.waiting.may_answer(&work)
            {
                answer(&world, &device, &decided).await;
            }
        };
        tokio::select! {
            () = acting => {}
            () = world.stop.soft() => {}
        }
        world.apps.waiting.end(&work);
    });
}

/// What the person has made up their mind to.
struct Decided {
    open: Challenge,
    decision: Decision,
    number: Option<String>,
}

/// Everything before the answer; `None` when there will be none.
async fn decide(world: &World, device: &Device, work: &Work) -> Option<Decided> {
    let script = &device.script;
    let thinking = async {
        if !script.after.is_zero() {
            tokio::time::sleep(world.time.real(script.after)).await;
        }
    };
    let open = if script.opens {
        let open = find(world, device, work).await?;
        let status = world.apps.way.opened(world, device, &open).await;
        let (portal, challenge) = (&open.portal, &open.id);
        world.journal.record(&Fact::AppOpened { device: device.id, portal, challenge, status });
        thinking.await;
        open
    } else {
        thinking.await;
        find(world, device, work).await?
    };
    let decision = script.decision?;
    let number = match &script.types {
        Typing::Waits if open.number_match => {
            // Who has read nothing until then can't answer any more.
            Some(tokio::time::timeout(left(world, &open), device.number()).await.ok()?)
        }
        Typing::Number(number) if open.number_match => Some(number.clone()),
        Typing::Waits | Typing::Number(_) | Typing::Nothing => None,
    };
    if script.answers_late {
        tokio::time::sleep(left(world, &open) + LATE).await;
    }
    Some(Decided { open, decision, number })
}

/// The time that is left for an answer.
fn left(world: &World, open: &Challenge) -> Duration {
    let micros = open.answer_by_micros() - world.time.now_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// The challenge, if the gateway lists it as open.
async fn find(world: &World, device: &Device, work: &Work) -> Option<Challenge> {
    let (status, open) = world.apps.way.list(world, device).await;
    let open = open.into_iter().find(|open| open.portal == work.portal && open.id == work.challenge);
    let is_open = (status == Some(200)).then_some(open.is_some());
    let challenge = Some(work.challenge.as_str());
    world.journal.record(&Fact::AppListed { device: device.id, challenge, status, open: is_open });
    if open.is_none() {
        count(world, if status.is_some() { "not_open" } else { "unreachable" });
    }
    open
}

async fn answer(world: &World, device: &Device, decided: &Decided) {
    let Decided { open, decision, number } = decided;
    let stranger = device.script.signs_badly.then(|| DeviceKey::generate(device.key.alg()));
    let key = match &stranger {
        Some(Ok((key, _))) => key,
        Some(Err(_)) => return,
        None => &device.key,
    };
    let Some(jws) = gateway::sign_answer(device, key, open, *decision, number.as_deref()) else { return };
    if device.script.replays {
        let first = device.first_answer(&jws);
        if first != jws {
            send_answer(world, device, decided, &first, true).await;
        }
    }
    send_answer(world, device, decided, &jws, false).await;
    if device.script.replays {
        send_answer(world, device, decided, &jws, true).await;
    }
}

async fn send_answer(world: &World, device: &Device, decided: &Decided, jws: &str, replayed: bool) {
    let Decided { open, decision, .. } = decided;
    let url = gateway::at(&device.url, &format!("/app/challenges/{}/{}/answer", open.portal, open.id));
    let reply = world.apps.way.post(&url, || Some(jws.to_owned())).await;
    let status = reply.as_ref().map(|reply| reply.status);
    count(
        world,
        match status {
            Some(200) => "accepted",
            Some(_) => "refused",
            None => "unreachable",
        },
    );
    world.journal.record(&Fact::AppAnswered {
        device: device.id,
        portal: &open.portal,
        challenge: &open.id,
        decision: decision.word(),
        status,
        result: reply.and_then(|reply| reply.word()).as_deref(),
        replayed,
    });
}

fn count(world: &World, result: &str) {
    world.metrics.app_answers.with_label_values(&[result]).inc();
}
