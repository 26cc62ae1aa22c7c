//! Every pair of state and event, as a table that is compared with `transitions.txt`, and the picture of
//! an attempt's life in ARCHITECTURE.md, which is drawn from the same pairs.
//!
//! To renew both after a change of the rules: `UPDATE_GOLDEN=1 cargo test -p fleet-domain`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cases::{ANSWER_BY_S, at, events, now_asked, states};
use crate::golden::{compare, manifest};
use fleet_domain::{AttemptState, Challenge, Codes, Event, Talk, step};

#[test]
fn every_pair_of_state_and_event_does_what_the_table_says() {
    let mut table = String::from("# state | event | what becomes of it\n");
    for (state, challenge) in states() {
        for (word, event) in events() {
            let outcome = match step(&challenge, &now_asked(&event, &challenge), at(20)) {
                Ok(next) => describe(&next),
                Err(refused) => format!("refused: {refused}"),
            };
            writeln!(table, "{state} | {word} | {outcome}").unwrap();
        }
    }
    compare(&manifest("tests/rules/transitions.txt"), &table, "");
}

#[test]
fn after_the_deadline_every_event_expires_an_open_challenge() {
    for (state, challenge) in states().into_iter().filter(|(_, c)| c.is_open()) {
        for (word, event) in events() {
            let next = step(&challenge, &event, at(ANSWER_BY_S)).unwrap();
            assert!(!next.is_open(), "{state}, {word}");
            let reason = next.live.end.unwrap().reason.as_str();
            assert!(
                ["no_response", "not_started", "push_undeliverable"].contains(&reason),
                "{state}, {word}: {reason}"
            );
        }
    }
}

#[test]
fn the_picture_of_an_attempt_in_architecture_md_is_what_the_rules_do() {
    let mut edges = BTreeSet::new();
    for (_, challenge) in states() {
        for (word, event) in events() {
            let Ok(next) = step(&challenge, &now_asked(&event, &challenge), at(20)) else { continue };
            for attempt in &next.live.attempts {
                let from = challenge.attempt(attempt.number).map(|before| before.state);
                if from != Some(attempt.state) {
                    edges.insert((from, attempt.state, if ends(&event, &challenge) { "end" } else { word }));
                }
            }
        }
    }
    let mut picture = String::from("```mermaid\nstateDiagram-v2\n");
    let mut merged: Vec<(Option<AttemptState>, AttemptState, Vec<&str>)> = Vec::new();
    for (from, to, word) in edges {
        match merged.iter_mut().find(|(f, t, _)| (*f, *t) == (from, to)) {
            Some((_, _, words)) => words.push(word),
            None => merged.push((from, to, vec![word])),
        }
    }
    for (from, to, mut words) in merged {
        words.dedup();
        let from = from.map_or("[*]", AttemptState::as_str);
        writeln!(picture, "    {from} --> {to}: {}", words.join(", ")).unwrap();
    }
    picture.push_str("```\n");
    compare(&manifest("../../ARCHITECTURE.md"), &picture, "attempt-states");
}

/// Whether the event ends the whole challenge from outside, which every state allows alike.
fn ends(event: &Event, challenge: &Challenge) -> bool {
    challenge.is_open() && matches!(event, Event::Cancel | Event::Halt { .. } | Event::Decided { .. })
}

fn describe(challenge: &Challenge) -> String {
    let attempts: Vec<String> = challenge
        .live
        .attempts
        .iter()
        .map(|a| {
            let rounds = if a.rounds > 0 { format!(" round {}", a.rounds) } else { String::new() };
            let talk = a.talk.map(talk_of).unwrap_or_default();
            let hang_up = if a.hang_up_sent { " hang-up sent" } else { "" };
            let codes = a.codes.as_ref().map(codes_of).unwrap_or_default();
            format!("{}:{}{rounds}{talk}{codes}{hang_up}", a.channel, a.state)
        })
        .collect();
    let end = challenge.live.end.as_ref().map_or_else(
        || challenge.progress().to_string(),
        |end| {
            let assurance = end.assurance.map(|a| format!(" by {a}")).unwrap_or_default();
            format!("{}/{}{assurance}", end.reason.result(), end.reason)
        },
    );
    let owed: Vec<String> = fleet_domain::owed(challenge).iter().map(|e| format!("{e:?}")).collect();
    let owed = if owed.is_empty() { String::new() } else { format!(" owed {}", owed.join(" ")) };
    let tries =
        if challenge.live.tries > 0 { format!(" tries {}", challenge.live.tries) } else { String::new() };
    format!("{end} [{}]{tries}{owed}", attempts.join(" "))
}

fn codes_of(codes: &Codes) -> String {
    let Codes { tries, counted } = codes;
    let wrong = tries.iter().filter(|one| one.wrong).count();
    let counted = if *counted { " counted" } else { "" };
    format!(" codes {} wrong {wrong}{counted}", tries.len())
}

fn talk_of(talk: Talk) -> String {
    let Talk { misses, asides, comparing, counted, pin_proved, confirming } = talk;
    let mut text = String::new();
    for (word, number) in [("misses", misses), ("asides", asides), ("comparing", comparing)] {
        if number > 0 {
            write!(text, " {word} {number}").unwrap();
        }
    }
    for (word, is_so) in [("counted", counted), ("pin-proved", pin_proved)] {
        if is_so {
            write!(text, " {word}").unwrap();
        }
    }
    if let Some(command) = confirming {
        write!(text, " confirming {command}").unwrap();
    }
    text
}
