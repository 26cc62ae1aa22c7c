use alloc::string::String;

use super::*;
use crate::words::CallerIdStep::{Local, Other, OtherCarrier, Withheld};

const LONDON: &str = "+442079460001";
const LEEDS: &str = "+441134960002";
const YORK: &str = "+441904960003";
const RALEIGH: &str = "+19195550104";
const BERN: &str = "+41315550105";
const ROME: &str = "+390655550106";
const PARIS: &str = "+33155550107";
const TO: &str = "+447700900123";

fn numbers(texts: &[&str]) -> Vec<PhoneNumber> {
    texts.iter().map(|text| PhoneNumber::parse(text).unwrap()).collect()
}

/// What is sent one after the other where all is rejected, each with its SIP status; whether each was said to have a
/// successor is checked on the way.
fn all_rejected(
    (pool, elsewhere): (&[&str], &[&str]),
    may_withhold: bool,
    sip: impl Fn(&CallerId) -> u16,
) -> Vec<(CallerIdStep, String)> {
    let (pool, elsewhere) = (numbers(pool), numbers(elsewhere));
    let ids = CallerIds { pool: &pool, elsewhere: &elsewhere, may_withhold };
    let to = PhoneNumber::parse(TO).unwrap();
    let mut sent: Vec<PlannedCallerId> = Vec::new();
    loop {
        let attempts: Vec<Attempt> = sent.iter().map(|sent| rejected(sent, sip(&sent.caller_id))).collect();
        let used: Vec<_> = attempts.iter().filter_map(UsedCallerId::of).collect();
        match plan_caller_id(ids, &to, &used) {
            Some(next) => sent.push(next),
            None => break,
        }
    }
    let last = sent.len().saturating_sub(1);
    assert!(sent.iter().enumerate().all(|(at, sent)| sent.has_next == (at < last)), "{sent:?}");
    sent.into_iter().map(|sent| (sent.caller_id.step, sent.caller_id.number)).collect()
}

fn rejected(sent: &PlannedCallerId, sip: u16) -> Attempt {
    let mut attempt = Attempt::new(1, crate::words::Channel::Voice, 0, 0);
    attempt.caller_id = Some(sent.caller_id.clone());
    attempt.reason = Some(Reason::CarrierRejectedCallerId);
    attempt.sip = Some(sip);
    attempt
}

#[test]
fn v9_the_plan_climbs_the_whole_ladder() {
    type Case = (
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
        bool,
        &'static [(CallerIdStep, &'static str)],
    );
    let cases: [Case; 9] = [
        ("no number, no call", &[], &[], false, &[]),
        ("nothing to hide either", &[], &[], true, &[]),
        ("one number that is not local", &[RALEIGH], &[], false, &[(Other, RALEIGH)]),
        ("a local number goes first", &[RALEIGH, LONDON], &[], false, &[(Local, LONDON), (Other, RALEIGH)]),
        (
            "within a rung the pool's order counts",
            &[BERN, LEEDS, RALEIGH, LONDON],
            &[],
            false,
            &[(Local, LEEDS), (Local, LONDON), (Other, BERN), (Other, RALEIGH)],
        ),
        (
            "a third number of a rung waits for those of the next",
            &[LONDON, LEEDS, YORK, RALEIGH],
            &[],
            false,
            &[(Local, LONDON), (Local, LEEDS), (Other, RALEIGH), (Local, YORK)],
        ),
        (
            "another carrier's numbers follow, its local ones first",
            &[LONDON],
            &[RALEIGH, LEEDS],
            false,
            &[(Local, LONDON), (OtherCarrier, LEEDS), (OtherCarrier, RALEIGH)],
        ),
        (
            "no number comes after two of each rung, and hides the best one",
            &[RALEIGH, LONDON],
            &[ROME],
            true,
            &[(Local, LONDON), (Other, RALEIGH), (OtherCarrier, ROME), (Withheld, LONDON)],
        ),
        (
            "everything, and then what was passed over",
            &[RALEIGH, BERN, PARIS, LONDON],
            &[ROME],
            true,
            &[
                (Local, LONDON),
                (Other, RALEIGH),
                (Other, BERN),
                (OtherCarrier, ROME),
                (Withheld, LONDON),
                (Other, PARIS),
            ],
        ),
    ];
    for (what, pool, elsewhere, may_withhold, expected) in cases {
        let sent = all_rejected((pool, elsewhere), may_withhold, |_| 608);
        let expected: Vec<_> = expected.iter().map(|(step, number)| (*step, (*number).into())).collect();
        assert_eq!(sent, expected, "{what}");
    }
}

#[test]
fn v9_from_a_withheld_number_the_plan_steps_back_where_the_callee_rejects_anonymous_calls() {
    let pool: &[&str] = &[LONDON, LEEDS, YORK];
    let only_withheld = |caller_id: &CallerId| if caller_id.step == Withheld { 433 } else { 608 };
    let sent = all_rejected((pool, &[]), true, only_withheld);
    let steps: Vec<_> = sent.iter().map(|(step, number)| (*step, number.as_str())).collect();
    assert_eq!(steps, [(Local, LONDON), (Local, LEEDS), (Withheld, LONDON), (Local, YORK)]);
}

#[test]
fn v9_no_number_is_withheld_from_a_callee_who_has_rejected_an_anonymous_call() {
    // A number that was lost on the way looks anonymous to the callee.
    let pool = numbers(&[LONDON]);
    let ids = CallerIds { pool: &pool, may_withhold: true, ..CallerIds::default() };
    let to = PhoneNumber::parse(TO).unwrap();
    let first = plan_caller_id(ids, &to, &[]).unwrap();
    assert!(first.has_next);
    let attempt = rejected(&first, 433);
    assert_eq!(plan_caller_id(ids, &to, &[UsedCallerId::of(&attempt).unwrap()]), None);
}

#[test]
fn a_caller_id_that_nothing_is_known_against_is_sent_again() {
    let pool = numbers(&[LONDON, RALEIGH]);
    let ids = CallerIds { pool: &pool, ..CallerIds::default() };
    let to = PhoneNumber::parse(TO).unwrap();
    let first = plan_caller_id(ids, &to, &[]).unwrap();
    for reason in [None, Some(Reason::ProviderUnavailable), Some(Reason::Busy), Some(Reason::RejectedCall)] {
        let attempt = Attempt { reason, ..rejected(&first, 603) };
        let used = UsedCallerId::of(&attempt).unwrap();
        assert_eq!(plan_caller_id(ids, &to, &[used]).as_ref(), Some(&first), "{reason:?}");
    }
}

#[test]
fn v8_the_same_calling_code_is_local_and_no_more() {
    let pool = numbers(&["+12125550101", "+19195550102", LONDON]);
    let ids = CallerIds { pool: &pool, ..CallerIds::default() };
    for (to, number, step) in [
        ("+19195550199", "+12125550101", Local),
        ("+14165550199", "+12125550101", Local),
        (TO, LONDON, Local),
        ("+41435550100", "+12125550101", Other),
    ] {
        let planned = plan_caller_id(ids, &PhoneNumber::parse(to).unwrap(), &[]).unwrap().caller_id;
        assert_eq!((planned.number.as_str(), planned.step), (number, step), "{to}");
    }
}
