//! People who type codes: each signs in twice at once, mistypes, and types one code into both. One of them is taken, the other
//! one needs the next code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use fleet_contracts::{OneTimeCode, Outcome};
use fleet_domain::{ChallengeId, ChallengeResult, Progress};
use fleet_keys::{Keys, TotpSecret};
use fleet_lifecycle::Clock;
use tokio::time::{Instant, sleep};

use crate::site::Site;

const AGAIN: Duration = Duration::from_millis(100);
/// How long a code is shown, in seconds.
const STEP_S: u64 = 30;
/// A code of a day that has not come.
const WRONG_IN: u64 = 2_880;
/// How many steps later a code is still taken.
const DRIFT: u64 = 1;

/// What an app shows.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    secret: TotpSecret,
    /// The latest step whose code was typed.
    typed: Arc<AtomicU64>,
}

/// What came of the typing.
pub(crate) enum Typed {
    /// What had to come of it, or the challenges did not live long enough to tell.
    Kept,
    /// A code may have been too old when it was compared.
    TooOld,
    /// What no portal may see.
    Broken(String),
}

/// How the codes of a person are typed into two challenges.
pub(crate) struct Typing<'a> {
    pub(crate) site: &'a Site,
    pub(crate) ids: [ChallengeId; 2],
    /// When it is given up.
    pub(crate) until: Instant,
}

impl Codes {
    pub(crate) fn new() -> Self {
        Self { secret: Keys::new_totp_secret(), typed: Arc::default() }
    }

    pub(crate) fn secret(&self) -> TotpSecret {
        self.secret.clone()
    }

    fn of(&self, step: u64) -> anyhow::Result<OneTimeCode> {
        OneTimeCode::parse(&self.secret.code_at(step * STEP_S))
            .context("an app shows codes that can be typed")
    }

    /// A step that has come, and whose code and the one after it were not typed yet.
    async fn fresh_step(&self) -> u64 {
        loop {
            let now = this_step();
            if now > self.typed.load(Ordering::Relaxed) {
                self.typed.store(now + 1, Ordering::Relaxed);
                return now;
            }
            sleep(AGAIN).await;
        }
    }

    /// The first step after this one whose code the app shows or is about to show.
    fn step_after(&self, step: u64) -> u64 {
        let next = this_step().max(step + 1);
        self.typed.store(next, Ordering::Relaxed);
        next
    }
}

fn this_step() -> u64 {
    u64::try_from(Clock::system().now().as_secs()).unwrap_or(0) / STEP_S
}

impl Typing<'_> {
    /// Types everything.
    pub(crate) async fn run(&self, codes: &Codes) -> anyhow::Result<Typed> {
        let [first, second] = self.ids;
        let is_awaited = |[one, other]: &[Outcome; 2]| {
            [one, other].iter().all(|told| told.progress == Progress::AwaitingCode)
        };
        if self.once(is_awaited).await.is_none() {
            return Ok(Typed::Kept);
        }
        self.site.portal.enter_code(first, &codes.of(this_step() + WRONG_IN)?).await?;
        if self.once(|both| wrong(both) == 1).await.is_none() {
            return Ok(Typed::Kept);
        }
        let step = codes.fresh_step().await;
        let same = codes.of(step)?;
        let portal = &self.site.portal;
        let typed = tokio::join!(portal.enter_code(first, &same), portal.enter_code(second, &same));
        typed.0.and(typed.1)?;
        let Some(both) = self.once(|both| approved(both) + wrong(both) >= 3).await else {
            return Ok(Typed::Kept);
        };
        match approved(&both) {
            1 => {}
            0 if is_too_old(step) => return Ok(Typed::TooOld),
            0 => return Ok(Typed::Broken("a right code was taken in neither challenge".into())),
            _ => return Ok(Typed::Broken("one code was taken in two challenges".into())),
        }
        let [one, _] = &both;
        let left = if one.result == ChallengeResult::Approved { second } else { first };
        let step = codes.step_after(step);
        portal.enter_code(left, &codes.of(step)?).await?;
        let Some(both) =
            self.once(|both| both.iter().all(|told| told.result != ChallengeResult::Pending)).await
        else {
            return Ok(Typed::Kept);
        };
        Ok(match (approved(&both), wrong(&both)) {
            (2, 2) => Typed::Kept,
            (2, wrong) => {
                Typed::Broken(format!("{wrong} codes count as wrong, and two of those that were typed were"))
            }
            _ if is_too_old(step) => Typed::TooOld,
            _ => Typed::Kept,
        })
    }

    /// Both outcomes, once this holds for them.
    async fn once(&self, holds: impl Fn(&[Outcome; 2]) -> bool) -> Option<[Outcome; 2]> {
        let told = async |id| self.site.portal.outcome(id).await.ok().flatten();
        let [first, second] = self.ids;
        while Instant::now() < self.until {
            if let (Some(one), Some(other)) = (told(first).await, told(second).await) {
                let both = [one, other];
                if holds(&both) {
                    return Some(both);
                }
            }
            sleep(AGAIN).await;
        }
        None
    }
}

/// Whether the code of this step may have been compared when it did not count any more.
fn is_too_old(step: u64) -> bool {
    this_step() > step + DRIFT
}

fn approved(both: &[Outcome; 2]) -> u32 {
    both.iter().map(|told| u32::from(told.result == ChallengeResult::Approved)).sum()
}

/// How many codes were found wrong.
fn wrong(both: &[Outcome; 2]) -> u32 {
    both.iter().flat_map(|told| &told.attempts).filter_map(|attempt| attempt.wrong_codes).map(u32::from).sum()
}
