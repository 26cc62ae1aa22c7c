//! What a challenge costs in PostgreSQL: write-ahead log, processor time, and how many updates were HOT.
//!
//! Run it alone on an idle server, since the log is the whole server's: `DATABASE_URL=… cargo run -p fleet-records
//! --features testing --example budget`. Each challenge is accepted, sent, pushed and answered (four versions, three
//! transitions), and marked as told.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fleet_domain::{
    Ask, Assurance, Challenge, ChallengeId, ChallengeKey, Channel, Context as SignIn, Decision, Device,
    DeviceId, Event, Policy, Portal, PortalName, Purpose, Target, User, UserId, open, step,
};
use fleet_keys::Keys;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_records::testing::Scratch;
use fleet_records::{Actor, Committed, Lane, Note, Records, Stored, Transition};
use fleet_telemetry::{Metrics, Readiness};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

/// Challenges that are measured.
const CHALLENGES: usize = 5_000;
/// Challenges that are under way at once.
const AT_ONCE: usize = 1_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scratch = Scratch::new().await;
    let stop = Stop::new();
    let context = Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() };
    let metrics = Metrics::new();
    let settings = scratch.settings().clone();
    let records = Records::start(settings, Keys::for_tests(), &context, &metrics, &Readiness::new()).await?;

    // Every connection is open and every statement prepared before the measurement, and the log is past the full
    // images of pages that follow a checkpoint.
    run(&records, &context.clock, AT_ONCE).await?;
    let before = Cost::read(&scratch).await?;
    let began = Instant::now();
    run(&records, &context.clock, CHALLENGES).await?;
    let took = began.elapsed();
    context.stop.request_soft();
    ensure!(context.tasks.wait(Duration::from_secs(10)).await, "the lanes did not end");
    let after = Cost::read(&scratch).await?;
    report(&before, &after, took);
    Ok(())
}

#[expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a report of small numbers for a person"
)]
fn report(before: &Cost, after: &Cost, took: Duration) {
    let each = |before: u64, after: u64| (after - before) as f64 / CHALLENGES as f64;
    let updates = (after.updates - before.updates) as f64;
    println!("challenges             {CHALLENGES}");
    println!("challenges per second  {:.0}", CHALLENGES as f64 / took.as_secs_f64());
    println!("log per challenge      {:.0} bytes", each(before.log_bytes, after.log_bytes));
    println!("processor per challenge {:.0} us", each(0, after.cpu_micros_since(before)));
    println!("updates per challenge  {:.2}", updates / CHALLENGES as f64);
    println!("HOT                    {:.1} %", 100.0 * (after.hot - before.hot) as f64 / updates);
}

async fn run(records: &Records, clock: &Clock, count: usize) -> anyhow::Result<()> {
    let done = stream::iter(0..count).map(|_| one(records, clock)).buffer_unordered(AT_ONCE);
    let failed: Vec<_> = done.filter(|result| std::future::ready(result.is_err())).collect().await;
    failed.into_iter().next().unwrap_or(Ok(()))
}

/// The whole life of one challenge.
async fn one(records: &Records, clock: &Clock) -> anyhow::Result<()> {
    let challenge = accepted(clock)?;
    records.create(&challenge, note("accepted", Actor::Portal)).await?;
    let mut stored = Stored { challenge, told: 0 };
    let decision = Decision::Approve { number: Some(true), assurance: Assurance::NumberMatch };
    let device = DeviceId::from_uuid(uuid::Uuid::from_u128(1));
    for (event, word, lane) in [
        (Event::Send { check_after: None }, "send", Lane::Bulk),
        (Event::Pushed { attempt: 1, devices: 1 }, "pushed", Lane::Bulk),
        (Event::Decided { device, decision }, "decided", Lane::Urgent),
    ] {
        let after = step(&stored.challenge, &event, clock.now())?;
        let note = note(word, Actor::Fleet);
        let transition = Transition { before: &stored, after: &after, note, line: None };
        ensure!(records.commit(lane, transition).await? == Committed::Done, "{word} did not count");
        stored.told = after.version;
        stored.challenge = after;
    }
    records.mark_told(&stored.challenge.key, stored.challenge.version);
    Ok(())
}

fn accepted(clock: &Clock) -> anyhow::Result<Challenge> {
    let portal = Portal {
        name: PortalName::parse("operations")?,
        title: "Example Corp".into(),
        audiences: vec!["staff".into()],
        policy: Policy::default(),
    };
    let user = User {
        id: UserId::parse("ann.example")?,
        audience: "staff".into(),
        method: Channel::Push,
        blocked: false,
        has_pin: false,
        pin_locked_until: None,
        totp_locked_until: None,
        bypass: false,
        opted_out: Vec::new(),
        phones: Vec::new(),
        devices: vec![Device {
            id: DeviceId::from_uuid(uuid::Uuid::from_u128(1)),
            push_token: None,
            push_gone: false,
            has_totp: false,
        }],
    };
    let ask = Ask {
        key: ChallengeKey {
            id: ChallengeId::from_parts(clock.now(), fleet_keys::random_bytes()),
            portal: portal.name.clone(),
        },
        user: user.id.clone(),
        purpose: Purpose::SignIn,
        channel: None,
        target: Target::Primary,
        workflow: Vec::new(),
        number_match: Some([7; 16]),
        answer_by: None,
        locale: None,
        context: SignIn {
            application: Some("Payroll".into()),
            client_ip: Some("192.0.2.7".into()),
            place: Some("Raleigh, North Carolina".into()),
            fields: Vec::new(),
        },
        body_hash: [9; 32],
    };
    Ok(open(&ask, Some(&user), &portal, clock.now())?)
}

fn note(event: &'static str, actor: Actor) -> Note {
    Note { event, actor }
}

/// What PostgreSQL has spent so far.
struct Cost {
    log_bytes: u64,
    /// Processor time by session.
    cpu_micros: HashMap<String, u64>,
    updates: u64,
    hot: u64,
}

impl Cost {
    /// The processor time of the sessions that were there both times.
    fn cpu_micros_since(&self, before: &Self) -> u64 {
        let spent =
            self.cpu_micros.iter().filter_map(|(pid, micros)| Some(micros - before.cpu_micros.get(pid)?));
        spent.sum()
    }

    async fn read(scratch: &Scratch) -> anyhow::Result<Self> {
        // Idle sessions report their counts within ten seconds.
        tokio::time::sleep(Duration::from_secs(11)).await;
        let [log, updates, hot] = [
            "SELECT (pg_current_wal_lsn() - '0/0')::bigint",
            "SELECT sum(n_tup_upd) FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname ~ 'challenges_'",
            "SELECT sum(n_tup_hot_upd) FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname ~ 'challenges_'",
        ];
        let number = async |sql| -> anyhow::Result<u64> {
            scratch.sql(sql).await.first().context("a row")?.parse().context("a number")
        };
        let pids = scratch.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'mfa-fleet'").await;
        let cpu_micros =
            pids.into_iter().filter_map(|pid| Some((pid.clone(), cpu_micros(&pid).ok()?))).collect();
        Ok(Self {
            log_bytes: number(log).await?,
            cpu_micros,
            updates: number(updates).await?,
            hot: number(hot).await?,
        })
    }
}

/// The processor time of a process, from Linux's count of hundredths of a second in fields 14 and 15 of its `stat`.
fn cpu_micros(pid: &str) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? * 10_000)
}
