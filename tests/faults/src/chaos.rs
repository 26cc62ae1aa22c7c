//! Lets processes die: at named points, each as often as it takes, and at random moments by SIGKILL. Whoever dies is
//! started anew at once, as a supervisor would.
//!
//! What is chosen follows from the seed; when a process reaches its point depends on the machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_lifecycle::CrashPoint;
use tokio::time::{Instant, sleep};

use crate::load::Going;
use crate::process::{Death, Process, Recipe, Service};

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// After this long without coming to its point a process is stopped softly, and starts anew with another one.
const LIFE: Duration = Duration::from_secs(8);
/// After this long a process that is to die while it stops is told to stop.
const BEFORE_STOP: Duration = Duration::from_millis(1_500);
/// How long a gateway needs to be up.
const UP: Duration = Duration::from_secs(2);
/// How far into the provider's request a process dies at most.
const POST_MS: u64 = 30;

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// The points at which processes are to die.
    pub(crate) points: &'static [CrashPoint],
    /// How often at each of them.
    pub(crate) deaths: u32,
    /// How many SIGKILLs at random moments.
    pub(crate) kills: u32,
    /// Between two SIGKILLs, on average.
    pub(crate) kill_every: Duration,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// How often a process died at each point.
    pub(crate) deaths: BTreeMap<&'static str, u32>,
    pub(crate) kills: u32,
    /// What no process may do: end by itself, or end badly when asked to stop.
    pub(crate) violations: Vec<String>,
}

/// What was done so far, for whoever shows it or waits for it.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Done>>);

impl Tally {
    pub(crate) fn done(&self) -> Done {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nothing is missing.
    pub(crate) fn meets(&self, goal: Goal) -> bool {
        let done = self.done();
        done.kills >= goal.kills && wanting(&done, goal).next().is_none()
    }

    fn note(&self, change: impl FnOnce(&mut Done)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The points that were not died at often enough.
pub(crate) fn wanting(done: &Done, goal: Goal) -> impl Iterator<Item = CrashPoint> {
    let deaths = done.deaths.clone();
    let is_wanting = move |point: &CrashPoint| deaths.get(point.name()).copied().unwrap_or(0) < goal.deaths;
    goal.points.iter().copied().filter(is_wanting)
}

/// The processes of a deployment, and what befalls them.
pub(crate) struct Chaos {
    pub(crate) goal: Goal,
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) seed: u64,
    pub(crate) going: Arc<Going>,
    pub(crate) tally: Tally,
}

struct Place {
    recipe: Recipe,
    process: Process,
    /// Whether it was told to stop, and may therefore end.
    stopping: bool,
}

impl Chaos {
    /// Lets processes die until `over`, then leaves them whole; gives them back to be stopped.
    ///
    /// One gateway is always left alone, as behind any load balancer: with none, calls hang up by the carrier's rules.
    pub(crate) async fn reign(self, over: impl Fn() -> bool) -> anyhow::Result<Vec<Process>> {
        let start = Instant::now();
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut places: Vec<Place> = Vec::new();
        for recipe in self.recipes.clone() {
            let may_die = !recipe.is_gateway() || places.iter().all(|place| !place.recipe.is_gateway());
            let process = recipe.start(if may_die { self.next_death(&recipe, &mut rng) } else { None })?;
            places.push(Place { recipe, process, stopping: false });
        }
        let mut next_kill = start + self.until_kill(&mut rng);
        while !over() {
            for at in 0..places.len() {
                let spared = is_last_gateway(&places, at);
                if let Some(place) = places.get_mut(at) {
                    self.look_at(place, (start, spared), &mut rng)?;
                }
            }
            if self.tally.done().kills < self.goal.kills && Instant::now() >= next_kill {
                let at = rng.usize(..places.len());
                if !is_last_gateway(&places, at)
                    && let Some(place) = places.get_mut(at)
                {
                    place.process.kill().await?;
                    self.tally.note(|done| done.kills += 1);
                    self.going.mark(start.elapsed(), format!("SIGKILL {}", place.recipe.name));
                    self.renew(place, &mut rng)?;
                }
                next_kill = Instant::now() + self.until_kill(&mut rng);
            }
            sleep(LOOK).await;
        }
        self.make_whole(places).await
    }

    fn look_at(
        &self,
        place: &mut Place,
        (start, spared): (Instant, bool),
        rng: &mut fastrand::Rng,
    ) -> anyhow::Result<()> {
        let (name, age) = (place.recipe.name.clone(), place.process.started.elapsed());
        if let Some(status) = place.process.ended()? {
            if place.process.died_as_wanted(status) {
                let point = place.process.death.map_or("", |death| death.point.name());
                self.tally.note(|done| *done.deaths.entry(point).or_default() += 1);
                self.going.mark(start.elapsed(), format!("{point} {name}"));
            } else if !(place.stopping && status.success()) {
                self.tally.note(|done| {
                    done.violations.push(format!("{name} ended by itself: {status}; its log is {name}.log"));
                });
            }
            // A gateway that died comes back as the one that stays, and the other one's turn begins.
            if place.recipe.is_gateway() && !place.stopping {
                place.process = place.recipe.start(None)?;
                return Ok(());
            }
            return self.renew(place, rng);
        }
        let dies_stopping =
            place.process.death.is_some_and(|death| death.point == CrashPoint::Draining && age > BEFORE_STOP);
        if !spared && !place.stopping && (dies_stopping || age > LIFE) {
            place.process.terminate()?;
            place.stopping = true;
        }
        Ok(())
    }

    fn renew(&self, place: &mut Place, rng: &mut fastrand::Rng) -> anyhow::Result<()> {
        place.process = place.recipe.start(self.next_death(&place.recipe, rng))?;
        place.stopping = false;
        Ok(())
    }

    fn until_kill(&self, rng: &mut fastrand::Rng) -> Duration {
        self.goal.kill_every.mul_f64(0.5 + rng.f64())
    }

    /// One of the points that this process can come to and that are most wanting.
    fn next_death(&self, recipe: &Recipe, rng: &mut fastrand::Rng) -> Option<Death> {
        let done = self.tally.done();
        let mut wanting: Vec<_> =
            wanting(&done, self.goal).filter(|point| can_come_to(&recipe.services, *point)).collect();
        let deaths = |point: &CrashPoint| done.deaths.get(point.name()).copied().unwrap_or(0);
        let fewest = wanting.iter().map(deaths).min()?;
        // A few more than the very fewest, so that several processes do not all wait for one rare moment.
        wanting.retain(|point| deaths(point) <= fewest + 1);
        let point = *wanting.get(rng.usize(..wanting.len()))?;
        Some(Death { point, pass: rng.u32(1..=most_passes(point)), after_ms: rng.u64(..POST_MS) })
    }

    /// Every place holds a process that is to die nowhere.
    async fn make_whole(&self, places: Vec<Place>) -> anyhow::Result<Vec<Process>> {
        let mut whole = Vec::new();
        for mut place in places {
            if place.process.death.is_some() || place.stopping {
                place.process.kill().await?;
                place.process = place.recipe.start(None)?;
            }
            whole.push(place.process);
        }
        Ok(whole)
    }
}

/// Whether all other gateways may be down, about to stop or about to die.
fn is_last_gateway(places: &[Place], at: usize) -> bool {
    let is_whole = |place: &Place| {
        place.process.death.is_none() && !place.stopping && place.process.started.elapsed() > UP
    };
    let mut others = places.iter().enumerate().filter(|(other, _)| *other != at);
    places.get(at).is_some_and(|place| place.recipe.is_gateway())
        && !others.any(|(_, place)| place.recipe.is_gateway() && is_whole(place))
}

/// Whether a process with these services comes to the point at all.
fn can_come_to(services: &[Service], point: CrashPoint) -> bool {
    let gateway = services.contains(&Service::Gateway);
    let worker = services.contains(&Service::Voice) || services.contains(&Service::Push);
    match point {
        CrashPoint::CalledBack => gateway,
        CrashPoint::Ended | CrashPoint::Told => gateway || worker,
        CrashPoint::Delivered
        | CrashPoint::Accepted
        | CrashPoint::Committed
        | CrashPoint::Posting
        | CrashPoint::Posted
        | CrashPoint::Stored
        | CrashPoint::Acked
        | CrashPoint::Swept
        | CrashPoint::Draining => worker,
        CrashPoint::CodeTried | CrashPoint::CodeCompared => services.contains(&Service::Voice),
        CrashPoint::EnrollmentDelivered
        | CrashPoint::EnrollmentOpened
        | CrashPoint::TestBegun
        | CrashPoint::TestEnded
        | CrashPoint::ChangePassed
        | CrashPoint::ChangeStored
        | CrashPoint::ChangeTold
        | CrashPoint::RequestSuperseded => false,
    }
}

/// A process dies at one of the first passes: at a point that is rarely come to, at the very first.
const fn most_passes(point: CrashPoint) -> u32 {
    match point {
        CrashPoint::Swept
        | CrashPoint::Draining
        | CrashPoint::CodeTried
        | CrashPoint::CodeCompared
        | CrashPoint::EnrollmentDelivered
        | CrashPoint::EnrollmentOpened
        | CrashPoint::TestBegun
        | CrashPoint::TestEnded
        | CrashPoint::ChangePassed
        | CrashPoint::ChangeStored
        | CrashPoint::ChangeTold
        | CrashPoint::RequestSuperseded => 1,
        CrashPoint::Ended | CrashPoint::Told => 5,
        CrashPoint::Delivered
        | CrashPoint::Accepted
        | CrashPoint::Committed
        | CrashPoint::Posting
        | CrashPoint::Posted
        | CrashPoint::Stored
        | CrashPoint::Acked
        | CrashPoint::CalledBack => 20,
    }
}
