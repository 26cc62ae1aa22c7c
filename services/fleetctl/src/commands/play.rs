//! `fleetctl play`: challenges of a file at the same time, shown live, then as a table held against what was expected.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_contracts::Outcome;
use fleet_domain::PortalName;
use fleet_portal_client::PortalClient;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, interval};

use super::challenge::{FRAME, target};
use super::standing;
use crate::cli::PlayArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::portal;
use crate::print::{Screen, Span, Style, clean, seconds};
use crate::progress::{Track, style_of};
use crate::scenario::{Scenario, Scenarios};
use crate::settings::Sections;
use crate::table::{self, Cell};

const HEADS: [&str; 9] =
    ["challenge", "phone", "result", "reason", "assurance", "caller ID", "to ring", "to outcome", ""];
const NOTHING: &str = "–";

pub(super) async fn run(args: &PlayArgs, sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let scenarios = Scenarios::read(&args.file, args.speed)?;
    let parallel = args.parallel.map(usize::from).or(scenarios.parallel).unwrap_or(scenarios.all.len());
    let mut clients = BTreeMap::new();
    for scenario in &scenarios.all {
        if !clients.contains_key(&scenario.portal) {
            let client = portal::connect(&scenario.portal, &args.access, sections)?;
            clients.insert(scenario.portal.clone(), client);
        }
    }
    let began = Instant::now();
    let mut show = Show::new(&scenarios.all, screen, began);
    let ends = show.run(&scenarios.all, (&clients, sections), parallel).await?;
    let tracks = show.tracks;
    conclude(&scenarios.all, &ends, &tracks, (screen, began.elapsed()))?;
    let met = |(scenario, end): (&Scenario, &End)| end.as_ref().is_ok_and(|o| scenario.expect.is_met_by(o));
    if scenarios.all.iter().zip(&ends).all(met) {
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

type End = Result<Outcome, Error>;

/// What is told of a challenge while it goes on.
enum Heard {
    Begins,
    Outcome(Box<Outcome>),
}

/// What a challenge is played with.
struct Stage<'a> {
    client: PortalClient,
    sections: &'a Sections,
    /// Closed when the one before has ended.
    before: Option<watch::Receiver<()>>,
    /// Closed, by being dropped, when this one has.
    over: watch::Sender<()>,
    tell: UnboundedSender<(usize, Heard)>,
}

/// Plays one challenge.
async fn play(at: usize, scenario: &Scenario, stage: Stage<'_>) -> (usize, End) {
    let Stage { client, sections, before, over, tell } = stage;
    if let Some(mut before) = before {
        // An error is the news: its sender is gone.
        while before.changed().await.is_ok() {}
    }
    // Nobody hears it only when the show was broken off.
    let tell = move |heard| drop(tell.send((at, heard)));
    tell(Heard::Begins);
    let draft = portal::draft(&client, &scenario.ask);
    let come_so_far = Notify::new();
    let heard = |outcome: &Outcome| {
        if scenario.block == Some(outcome.progress) {
            come_so_far.notify_one();
        }
        tell(Heard::Outcome(Box::new(outcome.clone())));
    };
    let follow = portal::follow(&client, &draft, scenario.ask.within, scenario.cancel, heard);
    tokio::pin!(follow);
    let block = async {
        come_so_far.notified().await;
        standing::block_user(&scenario.ask.user, ("played", None), sections).await
    };
    let end = tokio::select! {
        end = &mut follow => end,
        blocked = block => match blocked {
            Ok(_) => follow.await,
            Err(error) => Err(error),
        },
    };
    let end = match end {
        Ok(outcome) => Ok(portal::settle(&client, outcome).await),
        Err(error) => Err(error),
    };
    drop(over);
    (at, end)
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
        (clients, sections): (&BTreeMap<PortalName, PortalClient>, &Sections),
        parallel: usize,
    ) -> Result<Vec<End>, Error> {
        let (tell, mut told) = unbounded_channel();
        let mut waits: Vec<watch::Receiver<()>> = Vec::with_capacity(scenarios.len());
        let mut plays = Vec::with_capacity(scenarios.len());
        for (at, scenario) in scenarios.iter().enumerate() {
            let (over, wait) = watch::channel(());
            let before = scenario.after.and_then(|earlier| waits.get(earlier)).cloned();
            waits.push(wait);
            if let Some(client) = clients.get(&scenario.portal).cloned() {
                plays.push(play(at, scenario, Stage { client, sections, before, over, tell: tell.clone() }));
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
        match heard {
            Heard::Begins => track.begin(now),
            Heard::Outcome(outcome) => {
                if let Some(word) = track.hear(outcome, now).map(str::to_owned)
                    && !self.live
                {
                    self.screen.spans(&track.step(&word, now, self.title_width))?;
                }
            }
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

/// The table, and in a line how many ended as expected.
fn conclude(
    scenarios: &[Scenario],
    ends: &[End],
    tracks: &[Track],
    (screen, took): (&mut Screen, Duration),
) -> Result<(), Error> {
    let rows: Vec<Vec<Cell>> = scenarios
        .iter()
        .zip(ends)
        .zip(tracks)
        .map(|((scenario, end), track)| row(scenario, end, track.elapsed(took).unwrap_or_default()))
        .collect();
    screen.line("")?;
    table::print(screen, &HEADS, &rows)?;
    print_told(scenarios, ends, screen)?;
    let met = scenarios
        .iter()
        .zip(ends)
        .filter(|(s, end)| end.as_ref().is_ok_and(|o| s.expect.is_met_by(o)))
        .count();
    let style = if met == ends.len() { Style::Good } else { Style::Bad };
    let text = format!("{met} of {} as expected, {}", ends.len(), seconds(took));
    screen.line("")?;
    screen.spans(&[(style, text)])
}

/// What the portals tell the people whom the file expects to be helped.
fn print_told(scenarios: &[Scenario], ends: &[End], screen: &mut Screen) -> Result<(), Error> {
    let told = scenarios.iter().zip(ends).filter(|(scenario, _)| scenario.expect.help.is_some());
    let told: Vec<_> = told.filter_map(|(scenario, end)| Some((scenario, end.as_ref().ok()?))).collect();
    if !told.is_empty() {
        screen.line("\nwhat the portals then show:")?;
    }
    for (scenario, outcome) in told {
        screen.spans(&[
            (Style::Bold, clean(&scenario.title)),
            (Style::Plain, format!(", at {}: {}", scenario.portal, shown(outcome))),
        ])?;
    }
    Ok(())
}

/// The message of the reason, what else can be tried, and the portal's own words.
fn shown(outcome: &Outcome) -> String {
    let others =
        outcome.alternatives.iter().map(|other| format!("{} {}", other.channel, target(other.target)));
    let others: Vec<String> = others.collect();
    let message = outcome.reason.map(|reason| reason.message().to_owned());
    let alternatives = (!others.is_empty()).then(|| format!("Or try: {}.", others.join(", ")));
    let help = outcome.help.as_deref().map(clean);
    message.into_iter().chain(alternatives).chain(help).collect::<Vec<_>>().join(" ")
}

fn row(scenario: &Scenario, end: &End, took: Duration) -> Vec<Cell> {
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let title = Cell::text(&scenario.title);
    let outcome = match end {
        Ok(outcome) => outcome,
        Err(error) => {
            let why = error.line().unwrap_or_default();
            let why = format!("✗ {}", why.strip_prefix("fleetctl: ").unwrap_or(&why));
            let mut row = vec![title];
            row.extend((1..6).map(|_| Cell::text(NOTHING)));
            row.extend([
                Cell::number(NOTHING),
                Cell::number(seconds(took)),
                Cell::text(why).styled(Style::Bad),
            ]);
            return row;
        }
    };
    vec![
        title,
        // The fleet itself has hidden the middle of it.
        Cell::text(or_nothing(outcome.attempts.iter().rev().find_map(|attempt| attempt.to.clone()))),
        Cell::text(outcome.result.as_str()).styled(style_of(outcome.result)),
        Cell::text(or_nothing(outcome.reason.map(|reason| reason.to_string()))),
        Cell::text(or_nothing(outcome.assurance.map(|assurance| assurance.to_string()))),
        Cell::text(or_nothing(outcome.caller_id.as_ref().map(|id| format!("{} {}", id.sent, id.step)))),
        Cell::number(or_nothing(time_to_ring(outcome).map(seconds))),
        Cell::number(seconds(took)),
        verdict(scenario, outcome),
    ]
}

/// From the acceptance, when the first attempt's place was kept, to the first ring or the app's first look.
fn time_to_ring(outcome: &Outcome) -> Option<Duration> {
    let accepted = outcome.attempts.first()?.reserved_at;
    outcome.attempts.iter().find_map(|attempt| attempt.ringing_at).map(|at| at.since(accepted))
}

fn verdict(scenario: &Scenario, outcome: &Outcome) -> Cell {
    let missed = scenario.expect.missed_by(outcome);
    if missed.is_empty() {
        return Cell::text("✓").styled(Style::Good);
    }
    Cell::text(format!("✗ expected {}", missed.join(", "))).styled(Style::Bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{Ask, Method};
    use crate::example::approved;
    use crate::scenario::Expected;
    use fleet_domain::{Assurance, Reason, UserId};

    fn scenario(title: &str, reason: Reason, assurance: Option<Assurance>) -> Scenario {
        Scenario {
            title: title.to_owned(),
            portal: PortalName::parse("operations").unwrap(),
            ask: Ask {
                user: UserId::parse("alice").unwrap(),
                method: Method::Voice,
                target: None,
                number: None,
                within: None,
                application: None,
                locale: None,
            },
            after: None,
            cancel: None,
            block: None,
            expect: Expected {
                result: reason.result(),
                reason,
                assurance,
                alternatives: None,
                help: None,
                caller_id: None,
            },
        }
    }

    #[test]
    fn the_table_says_what_came_and_what_was_expected() {
        let ms = Duration::from_millis;
        let lost = Error::NoOutcome { id: "0193".to_owned(), waited: Duration::from_secs(155) };
        let rows = [
            row(&scenario("Alice", Reason::OkKey, Some(Assurance::Key)), &Ok(approved(4)), ms(2104)),
            row(&scenario("Alice, by PIN", Reason::OkPin, Some(Assurance::Pin)), &Ok(approved(4)), ms(2104)),
            row(&scenario("Bob", Reason::NoAnswer, None), &Err(lost), ms(155_000)),
        ];
        let golden = "\
challenge      phone         result    reason  assurance  caller ID           to ring  to outcome
Alice          +1919*****01  approved  ok_key  key        +19195550100 local   0.53 s      2.10 s  ✓
Alice, by PIN  +1919*****01  approved  ok_key  key        +19195550100 local   0.53 s      2.10 s  ✗ expected approved ok_pin pin
Bob            –             –         –       –          –                         –    155.00 s  ✗ challenge 0193 has no";
        let lines = table::lines(&HEADS, &rows, false).join("\n");
        assert!(lines.starts_with(golden), "{lines}");
    }
}
