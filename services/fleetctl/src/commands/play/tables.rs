//! What was played, as tables and in a line.

use std::time::Duration;

use fleet_contracts::{EnrollmentOutcome, Outcome};

use super::stage::{End, Ended};
use super::{is_met, missed};
use crate::commands::challenge::target;
use crate::error::Error;
use crate::print::{Screen, Style, clean, seconds};
use crate::progress::{Track, style_of, style_of_change};
use crate::scenario::{Part, Scenario};
use crate::table::{self, Cell};

const CHALLENGE_HEADS: [&str; 9] =
    ["challenge", "phone", "result", "reason", "assurance", "caller ID", "to ring", "to outcome", ""];
const CHANGE_HEADS: [&str; 9] =
    ["change", "asked for", "phone", "result", "reason", "allowed by", "test", "to outcome", ""];
const NOTHING: &str = "–";

/// One scenario with what it came to, and how long that took.
struct Played<'a> {
    scenario: &'a Scenario,
    end: &'a End,
    took: Duration,
}

/// The tables, and in a line how many ended as expected.
pub(super) fn conclude(
    scenarios: &[Scenario],
    ends: &[End],
    tracks: &[Track],
    (screen, took): (&mut Screen, Duration),
) -> Result<(), Error> {
    let all = scenarios.iter().zip(ends).zip(tracks);
    let all: Vec<Played<'_>> = all
        .map(|((scenario, end), track)| Played {
            scenario,
            end,
            took: track.elapsed(took).unwrap_or_default(),
        })
        .collect();
    for (heads, of_changes) in [(&CHALLENGE_HEADS, false), (&CHANGE_HEADS, true)] {
        let is_of_it = |played: &&Played<'_>| matches!(played.scenario.part, Part::Change(_)) == of_changes;
        let rows: Vec<Vec<Cell>> = all.iter().filter(is_of_it).map(row).collect();
        if !rows.is_empty() {
            screen.line("")?;
            table::print(screen, heads, &rows)?;
        }
    }
    print_told(&all, screen)?;
    let met = all.iter().filter(|played| is_met(played.scenario, played.end)).count();
    let style = if met == ends.len() { Style::Good } else { Style::Bad };
    let text = format!("{met} of {} as expected, {}", ends.len(), seconds(took));
    screen.line("")?;
    screen.spans(&[(style, text)])
}

/// What the portals tell the people whom the file expects to be told something.
fn print_told(all: &[Played<'_>], screen: &mut Screen) -> Result<(), Error> {
    let told: Vec<(&Scenario, String)> = all
        .iter()
        .filter_map(|played| {
            let ended = played.end.as_ref().ok()?;
            told(played.scenario, ended).map(|text| (played.scenario, text))
        })
        .collect();
    if !told.is_empty() {
        screen.line("\nwhat the portals then show:")?;
    }
    for (scenario, text) in told {
        screen.spans(&[
            (Style::Bold, clean(&scenario.title)),
            (Style::Plain, format!(", at {}: {text}", scenario.portal)),
        ])?;
    }
    Ok(())
}

fn told(scenario: &Scenario, ended: &Ended) -> Option<String> {
    match (&scenario.part, ended) {
        (Part::Challenge(challenge), Ended::Challenge(outcome)) => {
            challenge.expect.help.as_ref().map(|_| shown(outcome))
        }
        (Part::Change(wish), Ended::Change(outcome)) => {
            let expect = &wish.expect;
            expect.help.as_ref().or(expect.rule.as_ref()).map(|_| shown_of_change(outcome))
        }
        (Part::Challenge(_), Ended::Change(_)) | (Part::Change(_), Ended::Challenge(_)) => None,
    }
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

/// The field at fault with its rule, and the portal's own words.
fn shown_of_change(outcome: &EnrollmentOutcome) -> String {
    let field = outcome.field.as_deref().unwrap_or_default();
    let rule = outcome.rule.as_deref().map(|rule| {
        let end = if rule.ends_with('.') { "" } else { "." };
        clean(&format!("{field} {rule}{end}"))
    });
    rule.into_iter().chain(outcome.help.as_deref().map(clean)).collect::<Vec<_>>().join(" ")
}

fn row(played: &Played<'_>) -> Vec<Cell> {
    let Played { scenario, end, took } = played;
    match end {
        Ok(ended @ Ended::Challenge(outcome)) => {
            of_challenge(outcome, (&scenario.title, *took), verdict(scenario, ended))
        }
        Ok(ended @ Ended::Change(outcome)) => {
            of_change(outcome, (&scenario.title, *took), verdict(scenario, ended))
        }
        Err(error) => of_error(error, (&scenario.title, *took)),
    }
}

fn or_nothing(text: Option<impl ToString>) -> String {
    text.map_or_else(|| NOTHING.to_owned(), |text| text.to_string())
}

fn of_challenge(outcome: &Outcome, (title, took): (&str, Duration), verdict: Cell) -> Vec<Cell> {
    let caller_id = outcome.caller_id.as_ref().map(|id| format!("{} {}", id.sent, id.step));
    vec![
        Cell::text(title),
        // The fleet itself has hidden the middle of it.
        Cell::text(or_nothing(outcome.attempts.iter().rev().find_map(|attempt| attempt.to.as_ref()))),
        Cell::text(outcome.result.as_str()).styled(style_of(outcome.result)),
        Cell::text(or_nothing(outcome.reason)),
        Cell::text(or_nothing(outcome.assurance)),
        Cell::text(or_nothing(caller_id)),
        Cell::number(or_nothing(time_to_ring(outcome).map(seconds))),
        Cell::number(seconds(took)),
        verdict,
    ]
}

fn of_change(outcome: &EnrollmentOutcome, (title, took): (&str, Duration), verdict: Cell) -> Vec<Cell> {
    vec![
        Cell::text(title),
        Cell::text(outcome.change.as_str()),
        Cell::text(or_nothing(outcome.phones.first().map(|phone| &phone.number))),
        Cell::text(outcome.result.as_str()).styled(style_of_change(outcome.result)),
        Cell::text(or_nothing(outcome.reason)),
        Cell::text(outcome.authority.as_str()),
        Cell::text(or_nothing(outcome.tests.last().and_then(|test| test.reason))),
        Cell::number(seconds(took)),
        verdict,
    ]
}

/// Both tables have as many columns.
fn of_error(error: &Error, (title, took): (&str, Duration)) -> Vec<Cell> {
    let why = error.line().unwrap_or_default();
    let why = format!("✗ {}", why.strip_prefix("fleetctl: ").unwrap_or(&why));
    let mut row = vec![Cell::text(title)];
    row.extend((1..6).map(|_| Cell::text(NOTHING)));
    row.extend([Cell::number(NOTHING), Cell::number(seconds(took)), Cell::text(why).styled(Style::Bad)]);
    row
}

/// From the acceptance, when the first attempt's place was kept, to the first ring or the app's first look.
fn time_to_ring(outcome: &Outcome) -> Option<Duration> {
    let accepted = outcome.attempts.first()?.reserved_at;
    outcome.attempts.iter().find_map(|attempt| attempt.ringing_at).map(|at| at.since(accepted))
}

fn verdict(scenario: &Scenario, ended: &Ended) -> Cell {
    let missed = missed(scenario, ended);
    if missed.is_empty() {
        return Cell::text("✓").styled(Style::Good);
    }
    Cell::text(format!("✗ expected {}", missed.join(", "))).styled(Style::Bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{Ask, Method};
    use crate::example::{approved, done};
    use crate::scenario::{Challenge, Scenarios};
    use fleet_domain::{Assurance, PortalName, Reason, UserId};

    fn scenario(title: &str, reason: Reason, assurance: Option<Assurance>) -> Scenario {
        let user = UserId::parse("alice").unwrap();
        let ask = Ask {
            user: user.clone(),
            method: Method::Voice,
            target: None,
            number: None,
            within: None,
            application: None,
            locale: None,
        };
        let expect = crate::scenario::Expected {
            result: reason.result(),
            reason,
            assurance,
            alternatives: None,
            help: None,
            caller_id: None,
        };
        Scenario {
            title: title.to_owned(),
            portal: PortalName::parse("operations").unwrap(),
            user,
            after: Vec::new(),
            part: Part::Challenge(Box::new(Challenge { ask, cancel: None, block: None, code: None, expect })),
        }
    }

    fn rows(played: &[(Scenario, End, u64)]) -> Vec<Vec<Cell>> {
        played
            .iter()
            .map(|(scenario, end, ms)| row(&Played { scenario, end, took: Duration::from_millis(*ms) }))
            .collect()
    }

    #[test]
    fn the_table_says_what_came_and_what_was_expected() {
        let lost = Error::NoOutcome {
            what: crate::error::Asked::Challenge,
            id: "0193".to_owned(),
            waited: Duration::from_secs(155),
        };
        let approved = || Ok(Ended::Challenge(Box::new(approved(4))));
        let rows = rows(&[
            (scenario("Alice", Reason::OkKey, Some(Assurance::Key)), approved(), 2104),
            (scenario("Alice, by PIN", Reason::OkPin, Some(Assurance::Pin)), approved(), 2104),
            (scenario("Bob", Reason::NoAnswer, None), Err(lost), 155_000),
        ]);
        let golden = "\
challenge      phone         result    reason  assurance  caller ID           to ring  to outcome
Alice          +1919*****01  approved  ok_key  key        +19195550100 local   0.53 s      2.10 s  ✓
Alice, by PIN  +1919*****01  approved  ok_key  key        +19195550100 local   0.53 s      2.10 s  ✗ expected approved ok_pin pin
Bob            –             –         –       –          –                         –    155.00 s  ✗ challenge 0193 has no";
        let lines = table::lines(&CHALLENGE_HEADS, &rows, false).join("\n");
        assert!(lines.starts_with(golden), "{lines}");
    }

    #[test]
    fn a_change_says_what_was_asked_for_and_what_allowed_it() {
        let file = "[[scenario]]\ntitle = \"Ruth\"\nportal = \"recipients\"\nuser = \"ruth\"\nchange = \"phone_change\"\n\
                    expect = { result = \"done\", reason = \"ok\", authority = \"recovery\" }";
        let path = std::env::temp_dir().join(format!("fleetctl-play-{}.toml", std::process::id()));
        std::fs::write(&path, file).unwrap();
        let scenario = Scenarios::read(&path, 1.0).unwrap().all.remove(0);
        std::fs::remove_file(&path).unwrap();
        let rows = rows(&[(scenario, Ok(Ended::Change(Box::new(done(4)))), 2104)]);
        let golden = "\
change  asked for     phone         result  reason  allowed by  test    to outcome
Ruth    phone_change  +1919*****02  done    ok      sign_in     ok_key      2.10 s  ✗ expected the authority recovery";
        assert_eq!(table::lines(&CHANGE_HEADS, &rows, false).join("\n"), golden);
    }
}
