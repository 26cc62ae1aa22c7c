//! What proves who asks, and what lets security questions take the place of a factor: for every reason and purpose, as a
//! table that is compared with `proofs.txt`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use fleet_domain::{
    Challenge, Channel, End, Purpose, RECOVERY_AFTER, Reason, Timestamp, UserId, allows_recovery, proves,
};

use crate::cases::{at, opened, user};
use crate::golden::{compare, manifest};

const WITHIN: Duration = Duration::from_mins(10);
const MICRO: Duration = Duration::from_micros(1);

/// A challenge of alice that was accepted at 0 s and has ended at 30 s with this reason.
fn challenge(purpose: Purpose, reason: Option<Reason>) -> Challenge {
    let mut challenge = opened(&[Channel::Voice], false);
    let mut request = (*challenge.request).clone();
    request.purpose = purpose;
    challenge.request = Arc::new(request);
    challenge.live.end = reason.map(|reason| End {
        reason,
        assurance: None,
        at: at(30),
        version: 2,
        device: None,
        retry_after_s: None,
    });
    challenge
}

fn other() -> UserId {
    UserId::parse("bob").unwrap()
}

#[test]
fn for_every_reason_and_purpose_the_table_says_what_it_proves_and_allows() {
    let mut table = String::from("# reason | purpose | proves its user | allows a recovery\n");
    for reason in Reason::ALL {
        for purpose in Purpose::ALL {
            let challenge = challenge(*purpose, Some(*reason));
            let (proof, recovery) = (
                proves(&challenge, &user().id, WITHIN, at(40)),
                allows_recovery(&challenge, &user().id, WITHIN, at(40)),
            );
            let yes = |is_so: bool| if is_so { "yes" } else { "-" };
            writeln!(table, "{reason} | {purpose} | {} | {}", yes(proof), yes(recovery)).unwrap();
            assert!(!(proof && recovery), "{reason}");
            assert!(!proves(&challenge, &other(), WITHIN, at(40)), "{reason}: another user");
            assert!(!allows_recovery(&challenge, &other(), WITHIN, at(40)), "{reason}: another user");
            assert!(
                !(proof || recovery) || *purpose == Purpose::SignIn,
                "{reason}: a test proves nothing here"
            );
        }
    }
    compare(&manifest("tests/rules/enrollment/proofs.txt"), &table, "");
}

#[test]
fn a_sign_in_proves_until_its_time_after_the_end_is_over() {
    let challenge = challenge(Purpose::SignIn, Some(Reason::OkPush));
    let last = at(30).plus(WITHIN);
    for (now, is_fresh) in [(at(30), true), (last, true), (last.plus(MICRO), false)] {
        assert_eq!(proves(&challenge, &user().id, WITHIN, now), is_fresh);
    }
    assert!(!proves(&self::challenge(Purpose::SignIn, None), &user().id, WITHIN, at(1)), "it is open");
    let mut nobodys = challenge;
    let mut request = (*nobodys.request).clone();
    request.user = None;
    nobodys.request = Arc::new(request);
    assert!(!proves(&nobodys, &user().id, WITHIN, at(31)), "it was of no known user");
}

#[test]
fn questions_take_the_place_of_an_open_challenge_after_a_minute_and_of_any_for_a_while_only() {
    let open = challenge(Purpose::SignIn, None);
    let allows = |challenge: &Challenge, now: Timestamp| allows_recovery(challenge, &user().id, WITHIN, now);
    let minute = at(0).plus(RECOVERY_AFTER);
    assert!(!allows(&open, at(59)) && allows(&open, minute));
    let unreachable = challenge(Purpose::SignIn, Some(Reason::Unreachable));
    for challenge in [&open, &unreachable] {
        assert!(allows(challenge, at(0).plus(WITHIN)));
        assert!(!allows(challenge, at(0).plus(WITHIN).plus(MICRO)));
    }
    assert!(allows(&unreachable, at(30)), "the factor could not be reached: nobody waits for a minute");
    let test = challenge(Purpose::EnrollmentTest, None);
    assert!(!allows(&test, minute));
}
