//! Users of every kind, requests of every change in every state, and one of every event.

use fleet_domain::{
    Account, ActivatedDevice, Answers, Change, Channel, Enrollment, EnrollmentAsk, EnrollmentEvent,
    EnrollmentPolicy, EnrollmentReason, LEAST_TEST, NewTest, OperatorCause, Phone, PhoneRole, PinRule,
    Policy, Portal, Reason, RequestId, RequestKey, Shown, StoredAnswer, Timestamp, User, UserId, Wanted,
    open_enrollment, step_enrollment,
};

use crate::cases::{at, device, portal, user};

/// Seconds until which a test must have passed.
pub(crate) const WITHIN_S: u64 = 600;

/// Times at which an event may come: there is time, too little for another test, and none.
pub(crate) const TIMES: [(&str, u64); 3] = [
    ("in time", 20),
    ("shortly before the end", WITHIN_S - LEAST_TEST.as_secs() + 1),
    ("too late", WITHIN_S + 1),
];

pub(crate) fn account(user: Option<User>) -> Account {
    let questions = vec!["street".to_owned(), "teacher".into()];
    Account { user, questions, answers_locked_until: None, bypasses: 0, had_devices: false, apps: Vec::new() }
}

/// A user without anything that could prove who asks.
fn new_user() -> User {
    let phones = user().phones.into_iter().map(|phone| Phone { verified: false, ..phone });
    User { phones: phones.collect(), devices: Vec::new(), has_pin: false, ..user() }
}

/// Users of every kind, and one whom the portal may not know.
pub(crate) fn accounts() -> [(&'static str, Account); 6] {
    [
        ("unknown", Account::default()),
        ("new", Account { user: Some(new_user()), ..Account::default() }),
        ("who has lost all devices", Account { had_devices: true, ..account(Some(new_user())) }),
        ("enrolled", account(Some(user()))),
        ("blocked", account(Some(User { blocked: true, ..user() }))),
        ("of another audience", account(Some(User { audience: "others".into(), ..user() }))),
    ]
}

pub(crate) fn enrolled() -> Account {
    account(Some(user()))
}

/// A portal that may do what the policy says, and asks for PINs.
pub(crate) fn portal_with(enrollment: EnrollmentPolicy) -> Portal {
    Portal {
        policy: Policy { approve_only: true, pin: PinRule::Required, enrollment, ..Policy::default() },
        ..portal()
    }
}

/// What a portal may ask for when it names everything.
pub(crate) fn everything(operators: bool) -> EnrollmentPolicy {
    EnrollmentPolicy {
        requests: Change::ALL.to_vec(),
        operators,
        recovery: true,
        ..EnrollmentPolicy::default()
    }
}

/// A request in which nothing is missing and nothing is wrong.
pub(crate) fn ask_for(change: Change, role: Option<PhoneRole>) -> EnrollmentAsk {
    let takes_phone = matches!(change, Change::Enroll | Change::Method | Change::Phone);
    let takes_pin = takes_phone || change == Change::Pin;
    let given = |role| Phone { role, verified: false, sealed: vec![9], ..user().phones[0].clone() };
    EnrollmentAsk {
        key: RequestKey { id: RequestId::from_parts(at(0), [3; 10]), portal: portal().name },
        user: UserId::parse("alice").unwrap(),
        audience: None,
        change,
        wanted: Wanted {
            method: matches!(change, Change::Enroll | Change::Method).then_some(Channel::Voice),
            role,
            phone: takes_phone.then(|| given(role.unwrap_or(PhoneRole::Primary))),
            pin: takes_pin.then(|| "a hash".to_owned()),
            answers: if change == Change::Questions { answers() } else { Vec::new() },
            device: (change == Change::DeviceRevoke).then(device),
            asked: if change == Change::Recovery {
                vec!["street".into(), "teacher".into()]
            } else {
                Vec::new()
            },
            seconds: (change == Change::Bypass).then_some(300),
            cause: change.is_operators().then(cause),
            ..Wanted::default()
        },
        test: test(0),
        locale: None,
        body_hash: [5; 32],
    }
}

fn answers() -> Vec<StoredAnswer> {
    let stored = |question: &str| StoredAnswer { question: question.into(), hash: "a hash".into() };
    ["street", "teacher", "pet", "city"].map(stored).to_vec()
}

pub(crate) fn cause() -> OperatorCause {
    OperatorCause { actor: "pat".into(), reason: "lost phone".into(), ticket: None }
}

/// A test that is about to begin: the `number`th one of its request.
pub(crate) fn test(number: u8) -> NewTest {
    NewTest { id: fleet_domain::ChallengeId::from_parts(at(0), [number + 1; 10]), number_match: None }
}

/// The change of an enrolled user who has just signed in; an operator's where only operators may.
pub(crate) fn opened(change: Change) -> Enrollment {
    open(&ask_for(change, None), &enrolled(), change.is_operators())
}

pub(crate) fn open(ask: &EnrollmentAsk, account: &Account, by_operator: bool) -> Enrollment {
    let portal = portal_with(everything(by_operator));
    open_enrollment(ask, None, (account, Shown::SignIn), &portal, at(0)).unwrap()
}

/// The activation of a device with the code of this counter.
pub(crate) fn activated(counter: u8) -> EnrollmentEvent {
    let device = ActivatedDevice { id: device(), name: "phone".into(), platform: "android".into() };
    EnrollmentEvent::Activated { counter, device }
}

fn after(start: Enrollment, events: &[EnrollmentEvent]) -> Enrollment {
    after_at(start, events, at(1))
}

fn after_at(start: Enrollment, events: &[EnrollmentEvent], now: Timestamp) -> Enrollment {
    events.iter().fold(start, |enrollment, event| step_enrollment(&enrollment, event, now).unwrap())
}

pub(crate) fn ended(number: u8, reason: Reason) -> EnrollmentEvent {
    EnrollmentEvent::TestEnded { id: test(number).id, reason }
}

/// Requests in every state, each reached by the rules alone.
pub(crate) fn states() -> Vec<(&'static str, Enrollment)> {
    let missed = |number| ended(number, Reason::NoAnswer);
    let retry = |number| EnrollmentEvent::Retry(test(number));
    let passed = || after(opened(Change::Phone), &[ended(0, Reason::OkPin)]);
    let no_phone = || {
        let mut ask = ask_for(Change::Enroll, None);
        ask.wanted.phone = None;
        ask
    };
    let prepared = || open(&no_phone(), &Account::default(), true);
    let mut fifth = vec![missed(0)];
    for number in 1..5 {
        fifth.push(retry(number));
        fifth.push(missed(number));
    }
    fifth.pop();
    let mut late = opened(Change::Phone);
    late = after_at(late, &[EnrollmentEvent::Expire], at(WITHIN_S + 1));
    vec![
        ("phone missing", open(&no_phone(), &Account::default(), false)),
        ("answers awaited", opened(Change::Recovery)),
        ("device awaited", opened(Change::DeviceActivate)),
        (
            "device awaited, with a second code",
            after(opened(Change::DeviceActivate), &[EnrollmentEvent::NewCode]),
        ),
        ("device activated", after(opened(Change::DeviceActivate), &[activated(1)])),
        (
            "device activated, another code asked for",
            after(opened(Change::DeviceActivate), &[activated(1), EnrollmentEvent::NewCode]),
        ),
        ("device under test", after(opened(Change::DeviceActivate), &[activated(1), retry(0)])),
        ("test under way", opened(Change::Phone)),
        ("test missed", after(opened(Change::Phone), &[missed(0)])),
        ("second test under way", after(opened(Change::Phone), &[missed(0), retry(1)])),
        ("fifth test under way", after(opened(Change::Phone), &fifth)),
        ("test passed", passed()),
        ("answers right", after(opened(Change::Recovery), &[EnrollmentEvent::Answered(Answers::Right)])),
        ("no test needed", opened(Change::PhoneRemove)),
        ("prepared by an operator", prepared()),
        ("enrolled", after(passed(), &[EnrollmentEvent::Apply])),
        ("prepared and done", after(prepared(), &[EnrollmentEvent::Apply])),
        ("refused at once", open(&ask_for(Change::Block, None), &enrolled(), false)),
        ("test failed", after(opened(Change::Phone), &[ended(0, Reason::FraudReported)])),
        ("canceled during its test", after(opened(Change::Phone), &[EnrollmentEvent::Cancel])),
        ("superseded during its test", after(opened(Change::Phone), &[EnrollmentEvent::Supersede])),
        ("expired during its test", late),
    ]
}

/// One of every event; those of tests are about the first, the second and the fifth one.
pub(crate) fn events() -> Vec<(&'static str, EnrollmentEvent)> {
    vec![
        ("retry", EnrollmentEvent::Retry(test(9))),
        ("first test passed", ended(0, Reason::OkPin)),
        ("first test missed", ended(0, Reason::NoAnswer)),
        ("first test denied", ended(0, Reason::PinMismatch)),
        ("fraud in the first test", ended(0, Reason::FraudReported)),
        ("second test passed", ended(1, Reason::OkPin)),
        ("second test missed", ended(1, Reason::NoAnswer)),
        ("fifth test passed", ended(4, Reason::OkPin)),
        ("fifth test missed", ended(4, Reason::NoAnswer)),
        ("answers right", EnrollmentEvent::Answered(Answers::Right)),
        ("answers wrong", EnrollmentEvent::Answered(Answers::Wrong)),
        ("new code", EnrollmentEvent::NewCode),
        ("activated with the first code", activated(1)),
        ("activated with the second code", activated(2)),
        ("answers locked", EnrollmentEvent::Answered(Answers::LockedOut)),
        ("apply", EnrollmentEvent::Apply),
        ("cancel", EnrollmentEvent::Cancel),
        ("supersede", EnrollmentEvent::Supersede),
        ("expire", EnrollmentEvent::Expire),
        ("user blocked", EnrollmentEvent::Refuse(EnrollmentReason::LockedOut)),
        ("fail", EnrollmentEvent::Fail),
    ]
}
