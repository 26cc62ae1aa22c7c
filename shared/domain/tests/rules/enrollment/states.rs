//! Every pair of state and event, as a table that is compared with `states.txt`, and the picture of an enrollment's life in
//! ARCHITECTURE.md, which is drawn from the same pairs.
//!
//! To renew both after a change of the rules: `UPDATE_GOLDEN=1 cargo test -p fleet-domain`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use fleet_domain::{Enrollment, EnrollmentState, owed_enrollment, step_enrollment};

use super::cases::{TIMES, events, states};
use crate::cases::at;
use crate::golden::{compare, manifest};

#[test]
fn every_pair_of_state_and_event_of_an_enrollment_does_what_the_table_says() {
    let mut table = String::from("# state | event | when | what becomes of it\n");
    for (state, enrollment) in states() {
        writeln!(table, "{state} | - | - | {}", describe(&enrollment)).unwrap();
        for (word, event) in events() {
            let outcomes =
                TIMES.map(|(when, seconds)| match step_enrollment(&enrollment, &event, at(seconds)) {
                    Ok(next) => (when, describe(&next)),
                    Err(refused) => (when, format!("refused: {refused}")),
                });
            let differs = outcomes.iter().any(|(_, outcome)| *outcome != outcomes[0].1);
            for (when, outcome) in outcomes.iter().take(if differs { 3 } else { 1 }) {
                let when = if differs { *when } else { "whenever" };
                writeln!(table, "{state} | {word} | {when} | {outcome}").unwrap();
            }
        }
    }
    compare(&manifest("tests/rules/enrollment/states.txt"), &table, "");
}

#[test]
fn the_picture_of_an_enrollment_in_architecture_md_is_what_the_rules_do() {
    let mut edges: BTreeSet<(Option<EnrollmentState>, EnrollmentState, String)> = BTreeSet::new();
    for (name, enrollment) in states() {
        if enrollment.version == 1 {
            edges.insert((None, enrollment.live.state, name.to_owned()));
        }
        for (word, event) in events() {
            for (_, seconds) in TIMES {
                let Ok(next) = step_enrollment(&enrollment, &event, at(seconds)) else { continue };
                // Whatever comes too late expires it.
                let word = if next.result() == fleet_domain::EnrollmentResult::Expired {
                    "too late"
                } else {
                    plain(word)
                };
                edges.insert((Some(enrollment.live.state), next.live.state, word.to_owned()));
            }
        }
    }
    let mut picture = String::from("```mermaid\nstateDiagram-v2\n");
    let mut merged: Vec<(Option<EnrollmentState>, EnrollmentState, Vec<String>)> = Vec::new();
    for (from, to, word) in edges {
        match merged.iter_mut().find(|(f, t, _)| (*f, *t) == (from, to)) {
            Some((_, _, words)) => words.push(word),
            None => merged.push((from, to, vec![word])),
        }
    }
    for (from, to, words) in merged {
        let from = from.map_or("[*]", EnrollmentState::as_str);
        writeln!(picture, "    {from} --> {to}: {}", words.join(", ")).unwrap();
    }
    picture.push_str("```\n");
    compare(&manifest("../../ARCHITECTURE.md"), &picture, "enrollment-states");
}

/// The event without the number of its test.
fn plain(word: &str) -> &str {
    let rest = ["first ", "second ", "fifth "].iter().find_map(|number| word.strip_prefix(number));
    if word.contains("fraud") { "fraud reported" } else { rest.unwrap_or(word) }
}

fn describe(enrollment: &Enrollment) -> String {
    let live = &enrollment.live;
    let mut text = live.state.to_string();
    if let Some(end) = &live.end {
        write!(text, ", {}/{}", end.reason.result(), end.reason).unwrap();
    }
    if let Some(next) = live.next_step {
        write!(text, ", next {next}").unwrap();
    }
    if !live.tests.is_empty() {
        let end_of = |test: &fleet_domain::Test| {
            test.ended.map_or("under way".to_owned(), |reason| reason.to_string())
        };
        let tests: Vec<String> = live.tests.iter().map(end_of).collect();
        write!(text, " [{}]", tests.join(" ")).unwrap();
    }
    if let Some(owed) = owed_enrollment(enrollment) {
        let owed = format!("{owed:?}");
        write!(text, ", owed {}", owed.split('(').next().unwrap_or_default()).unwrap();
    }
    text
}
