//! `fleetctl play`: the scenarios of a file at the same time, shown live, then as tables held against what was expected.

mod apps;
mod stage;
mod tables;

use std::collections::BTreeMap;

use fleet_domain::PortalName;
use fleet_portal_client::PortalClient;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::time::{Instant, interval};

use super::challenge::FRAME;
use super::standing;
use crate::cli::PlayArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::portal;
use crate::print::{Screen, Span};
use crate::progress::Track;
use crate::scenario::{Part, Scenario, Scenarios};
use crate::settings::Sections;
use apps::Apps;
use stage::{End, Ended, Heard, Id, Stage, play};

pub(super) async fn run(args: &PlayArgs, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let scenarios = Scenarios::read(&args.file, args.speed)?;
    let parallel = args.parallel.map(usize::from).or(scenarios.parallel).unwrap_or(scenarios.all.len());
    if scenarios.all.iter().any(|scenario| matches!(scenario.part, Part::Change(_))) {
        // Before anything is played, so that a setting that is missing is not told for each of them.
        sections.enrollment_key(None)?;
    }
    let mut clients = BTreeMap::new();
    for scenario in &scenarios.all {
        if !clients.contains_key(&scenario.portal) {
            let client = portal::connect(&scenario.portal, &args.access, sections)?;
            clients.insert(scenario.portal.clone(), client);
        }
    }
    let apps = Apps::at(args.apps.as_deref())?;
    if apps.is_none() && scenarios.all.iter().any(needs_app) {
        return Err(Error::NoApps);
    }
    let began = Instant::now();
    let mut show = Show::new(&scenarios.all, screen, began);
    let ends = show.run(&scenarios.all, (&clients, sections, apps.as_ref()), parallel).await?;
    let tracks = show.tracks;
    tables::conclude(&scenarios.all, &ends, &tracks, (screen, began.elapsed()))?;
    if scenarios.all.iter().zip(&ends).all(|(scenario, end)| is_met(scenario, end)) {
        return Ok(Exit::Done);
    }
    if ends.iter().all(Result::is_err)
        && let Some(Err(error)) = ends.into_iter().next()
    {
        // Not the people, but the way to the fleet.
        return Err(error);
    }
    Ok(Exit::NotAsExpected)
}

/// Whether its person activates an app.
fn needs_app(scenario: &Scenario) -> bool {
    matches!(&scenario.part, Part::Change(wish) if wish.app.is_some())
}

/// Whether it has ended as expected.
fn is_met(scenario: &Scenario, end: &End) -> bool {
    end.as_ref().is_ok_and(|ended| missed(scenario, ended).is_empty())
}

/// What was expected and is not so.
fn missed(scenario: &Scenario, ended: &Ended) -> Vec<String> {
    match (&scenario.part, ended) {
        (Part::Challenge(challenge), Ended::Challenge(outcome)) => challenge.expect.missed_by(outcome),
        (Part::Change(wish), Ended::Change(outcome)) => wish.expect.missed_by(outcome),
        // Each is played as what it is.
        (Part::Challenge(_), Ended::Change(_)) | (Part::Change(_), Ended::Challenge(_)) => Vec::new(),
    }
}

/// The live view.
struct Show<'a> {
    tracks: Vec<Track>,
    title_width: usize,
    screen: &'a mut Screen,
    /// Whether all lines are drawn again and again; else each step is a line of its own.
    live: bool,
    began: Instant,
}

impl<'a> Show<'a> {
    fn new(scenarios: &[Scenario], screen: &'a mut Screen, began: Instant) -> Self {
        let tracks: Vec<Track> = scenarios.iter().map(|scenario| Track::new(&scenario.title)).collect();
        let title_width = tracks.iter().map(Track::title_width).max().unwrap_or(0);
        let live = screen.can_redraw(tracks.len());
        Self { tracks, title_width, screen, live, began }
    }

    async fn run(
        &mut self,
        scenarios: &[Scenario],
        (clients, sections, apps): (&BTreeMap<PortalName, PortalClient>, &Sections, Option<&Apps>),
        parallel: usize,
    ) -> Result<Vec<End>, Error> {
        let (tell, mut told) = unbounded_channel();
        let mut waits: Vec<watch::Receiver<Option<Id>>> = Vec::with_capacity(scenarios.len());
        let mut plays = Vec::with_capacity(scenarios.len());
        for (at, scenario) in scenarios.iter().enumerate() {
            let (over, wait) = watch::channel(None);
            let wait_for = |earlier: &usize| waits.get(*earlier).map(|wait| (*earlier, wait.clone()));
            let before = scenario.after.iter().filter_map(wait_for).collect();
            waits.push(wait);
            if let Some(client) = clients.get(&scenario.portal).cloned() {
                plays.push(play(
                    at,
                    scenario,
                    Stage { client, sections, apps, before, over, tell: tell.clone() },
                ));
            }
        }
        let mut plays = stream::iter(plays).buffer_unordered(parallel.max(1));
        let mut frames = interval(FRAME);
        let mut ends: BTreeMap<usize, End> = BTreeMap::new();
        while ends.len() < scenarios.len() {
            tokio::select! {
                biased;
                Some((at, heard)) = told.recv() => self.hear(at, &heard)?,
                Some((at, end)) = plays.next() => {
                    while let Ok((at, heard)) = told.try_recv() {
                        self.hear(at, &heard)?;
                    }
                    if end.is_err() {
                        self.fail(at)?;
                    }
                    ends.insert(at, end);
                }
                _ = frames.tick(), if self.live => self.draw()?,
            }
        }
        if self.live {
            self.draw()?;
        }
        Ok(ends.into_values().collect())
    }

    fn hear(&mut self, at: usize, heard: &Heard) -> Result<(), Error> {
        let now = self.began.elapsed();
        let Some(track) = self.tracks.get_mut(at) else { return Ok(()) };
        let news = match heard {
            Heard::Begins => {
                track.begin(now);
                None
            }
            Heard::Challenge(outcome) => track.hear(outcome, now),
            Heard::Change(outcome) => track.hear_change(outcome, now),
        };
        if let Some(word) = news.map(str::to_owned)
            && !self.live
        {
            self.screen.spans(&track.step(&word, now, self.title_width))?;
        }
        Ok(())
    }

    fn fail(&mut self, at: usize) -> Result<(), Error> {
        let now = self.began.elapsed();
        let Some(track) = self.tracks.get_mut(at) else { return Ok(()) };
        track.fail(now);
        if self.live { Ok(()) } else { self.screen.spans(&track.step("no outcome", now, self.title_width)) }
    }

    fn draw(&mut self) -> Result<(), Error> {
        let now = self.began.elapsed();
        let lines: Vec<Vec<Span>> =
            self.tracks.iter().map(|track| track.line(now, self.title_width)).collect();
        self.screen.redraw(&lines)
    }
}
