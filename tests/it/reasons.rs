//! Which tests end challenges for which reason: `reasons.txt`, written by the tests themselves, read by
//! `ops/reference/reasons.md`.
//!
//! Each test holds its own lines against how its challenges ended, so that none is invented and none forgotten. Renew
//! with `UPDATE_GOLDEN=1`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use fleet_domain::Reason;

/// Reasons that nothing comes to yet: there is no such method, limit or check.
const NOT_YET: [Reason; 7] = [
    Reason::OkCode,
    Reason::CodeMismatch,
    Reason::BudgetExhausted,
    Reason::FraudGuard,
    Reason::InvalidExtension,
    Reason::ExtensionNotAllowed,
    Reason::Superseded,
];
/// What the rules can come to, in every state and after every event.
const RULES: &str = include_str!("../../shared/domain/tests/rules/transitions.txt");
/// Tests of this process run side by side; each changes its own lines only.
static FILE: Mutex<()> = Mutex::new(());

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("it/reasons.txt")
}

/// The lines of the file: reason and test.
fn lines() -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(path()).unwrap();
    let lines = text.lines().map(|line| line.split_once(" | ").expect(line));
    lines.map(|(reason, test)| (reason.to_owned(), test.to_owned())).collect()
}

/// Holds how the challenges of this test ended against its lines.
pub(crate) fn settle(ends: &BTreeSet<Reason>) {
    let thread = std::thread::current();
    let test = thread.name().expect("a test's thread has its name");
    let ended: BTreeSet<(String, String)> =
        ends.iter().map(|reason| (reason.to_string(), test.to_owned())).collect();
    let _alone = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let (own, mut others): (BTreeSet<_>, BTreeSet<_>) = lines().into_iter().partition(|(_, of)| of == test);
    if own == ended {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_GOLDEN").is_some(),
        "reasons.txt has {own:?}, but it was {ended:?}: UPDATE_GOLDEN=1 renews it"
    );
    others.extend(ended);
    let sorted: Vec<String> = others.iter().map(|(reason, test)| format!("{reason} | {test}")).collect();
    std::fs::write(path(), sorted.join("\n") + "\n").unwrap();
}

#[test]
fn every_reason_that_a_challenge_can_end_for_has_a_test_that_ends_so() {
    let tested: BTreeSet<String> = lines().into_iter().map(|(reason, _)| reason).collect();
    let without: Vec<&str> = Reason::ALL
        .iter()
        .filter(|reason| NOT_YET.contains(reason) == tested.contains(reason.as_str()))
        .map(|reason| reason.as_str())
        .collect();
    assert!(without.is_empty(), "no test ends so, or it is in NOT_YET although one does: {without:?}");
    let by_rule = |reason: &&Reason| RULES.contains(&format!("{}/{reason} ", reason.result()));
    assert_eq!(NOT_YET.iter().find(by_rule), None, "the rules can come to it");
}

#[test]
fn every_line_names_a_test_that_there_is() {
    let list =
        Command::new(std::env::current_exe().unwrap()).args(["--list", "--format=terse"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let there: BTreeSet<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let gone: Vec<String> =
        lines().into_iter().map(|(_, test)| test).filter(|test| !there.contains(test.as_str())).collect();
    assert!(gone.is_empty(), "{gone:?}: remove their lines from reasons.txt");
}
