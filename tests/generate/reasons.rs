//! The reference of reasons: what each means, what to show and to offer, and which tests and scenarios end so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fleet_domain::{Change, EnrollmentReason, NextStep, Offer, PinFlaw, QuestionsRule, Reason, Refusal};

use crate::demo::Demo;

/// Written by the tests themselves: `tests/it/reasons.rs`.
const ENDS: &str = include_str!("../it/reasons.txt");
/// How many tests are named; the rest is counted.
const NAMED: usize = 3;

pub(crate) fn reference(demo: &Demo) -> anyhow::Result<String> {
    let mut tests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (reason, test) in ENDS.lines().filter_map(|line| line.split_once(" | ")) {
        tests.entry(reason).or_default().push(test);
    }
    let mut page = String::from(
        "# Reasons\n\n\
         Generated; do not edit. Words, meanings, messages and offers are `Reason` and `Refusal` of `shared/domain`. What ends so\n\
         is what ended so: scenarios that `./ops/demo` plays ([scenarios.md](scenarios.md)), and tests across services, each of\n\
         which notes how its challenges ended (`tests/it/reasons.txt`).\n\n\
         - *Show* is a sentence for the person, who may be a stranger at the portal; `message()` in Rust.\n\
         - *Offer*, the best first; `offers()` in Rust. **again**: the same once more, as a new challenge. **alternative**: one of the\n  \
         outcome's `alternatives`, such as the backup phone. **later**: the same, but not at once. **help**: the outcome's `help`, the\n  \
         portal's own words about whom to ask.\n\n\
         ## Of outcomes\n\n\
         | reason | result | means | show | offer | ends so |\n|---|---|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let (result, meaning, message) = (reason.result(), reason.meaning(), reason.message());
        let (offers, ends) = (offers(reason.offers()), ends(*reason, demo, &tests));
        writeln!(page, "| `{reason}` | {result} | {meaning} | {message} | {offers} | {ends} |")?;
    }
    page.push_str(
        "\n## Of refused requests\n\n\
         A refused request has no outcome: its portal hears of it by the event `mfa.challenge.refused.v1`.\n\n\
         | reason | means | show | offer |\n|---|---|---|---|\n",
    );
    for refusal in Refusal::ALL {
        let (meaning, message, offers) = (refusal.meaning(), refusal.message(), offers(refusal.offers()));
        writeln!(page, "| `{refusal}` | {meaning} | {message} | {offers} |")?;
    }
    of_enrollments(&mut page)?;
    Ok(page)
}

/// The words of enrollments. A refusal names its field and rule itself.
fn of_enrollments(page: &mut String) -> std::fmt::Result {
    page.push_str(
        "\n## Of enrollments\n\n\
         What a request to change an enrollment ends with, beside `field` and `rule`. One that is refused before it exists is told\n\
         by the event `mfa.enrollment.refused.v1`, with a reason of the table above.\n\n\
         | reason | result | means |\n|---|---|---|\n",
    );
    for reason in EnrollmentReason::ALL {
        writeln!(page, "| `{reason}` | {} | {} |", reason.result(), reason.meaning())?;
    }
    page.push_str("\n| next step | means |\n|---|---|\n");
    for next in NextStep::ALL {
        writeln!(page, "| `{next}` | {} |", next.meaning())?;
    }
    page.push_str("\n| change | means | who |\n|---|---|---|\n");
    for change in Change::ALL {
        let who = if change.is_operators() { "operators" } else { "portals whose policy names it" };
        writeln!(page, "| `{change}` | {} | {who} |", change.meaning())?;
    }
    page.push_str("\n| `pin_weak`, because of | means |\n|---|---|\n");
    for flaw in PinFlaw::ALL {
        writeln!(page, "| `{flaw}` | {} |", flaw.meaning())?;
    }
    page.push_str("\n| `questions_invalid`, because of | means |\n|---|---|\n");
    for rule in QuestionsRule::ALL {
        writeln!(page, "| `{rule}` | {} |", rule.meaning())?;
    }
    Ok(())
}

fn offers(offers: &[Offer]) -> String {
    offers.iter().map(|offer| offer.as_str()).collect::<Vec<_>>().join(", ")
}

fn ends(reason: Reason, demo: &Demo, tests: &BTreeMap<&str, Vec<&str>>) -> String {
    let challenges = demo.scenarios.iter().filter(|scenario| scenario.change.is_none());
    let played = challenges.filter(|scenario| scenario.expect.reason == reason.as_str());
    let mut ends: Vec<String> = played.map(|scenario| scenario.title.clone()).collect();
    let tests = tests.get(reason.as_str()).map(Vec::as_slice).unwrap_or_default();
    ends.extend(tests.iter().take(NAMED).map(|test| format!("`{test}`")));
    if tests.len() > NAMED {
        ends.push(format!("{} more tests", tests.len() - NAMED));
    }
    if ends.is_empty() { "*not produced yet*".to_owned() } else { ends.join("; ") }
}
