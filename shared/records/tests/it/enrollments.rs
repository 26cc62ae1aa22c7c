//! Requests to change an enrollment: one open at a time for each user, each version committed once, each found while
//! something is left to do.

use std::time::Duration;

use fleet_domain::{
    Account, Answers, ChallengeId, ChallengeKey, Change, Channel, Enrollment, EnrollmentAsk, EnrollmentEvent,
    EnrollmentPolicy, EnrollmentReason, EnrollmentResult, NewTest, OperatorCause, PhoneKind, PhoneNumber,
    PhoneRole, PinRule, Policy, Portal, Purpose, Reason, RequestId, RequestKey, Shown, User, UserId, Wanted,
    open_enrollment, step_enrollment, test_challenge,
};
use fleet_records::testing::Scratch;
use fleet_records::{Beside, CommittedEnrollment, Created, OpenedEnrollment, StoredEnrollment};
use futures_util::future::join_all;

use crate::fixtures::{Process, ann, note, portal};
use crate::processes::DeafProxy;

/// An operators' portal that may ask for everything and asks for PINs.
pub(crate) fn operators() -> Portal {
    let enrollment = EnrollmentPolicy {
        requests: Change::ALL.to_vec(),
        operators: true,
        recovery: true,
        ..EnrollmentPolicy::default()
    };
    Portal { policy: Policy { pin: PinRule::Required, enrollment, ..Policy::default() }, ..portal() }
}

/// A phone that rings for the test.
pub(crate) fn phone(process: &Process, user: &UserId, role: PhoneRole, number: &str) -> fleet_domain::Phone {
    let number = PhoneNumber::parse(number).unwrap();
    process.records.sealed_phone((user, role), (&number, None), PhoneKind::Mobile)
}

pub(crate) async fn user_of(process: &Process, user: &UserId) -> Option<User> {
    process.records.user(user).await.unwrap()
}

impl Process {
    /// A request about ann in version 1, which an operator made.
    pub(crate) async fn ask(&self, change: Change, wanted: Wanted) -> Enrollment {
        self.ask_for(&ann().id, change, wanted).await
    }

    pub(crate) async fn ask_for(&self, user: &UserId, change: Change, wanted: Wanted) -> Enrollment {
        let account = Account { bypasses: 0, ..self.records.account(user).await.unwrap() };
        let cause = OperatorCause { actor: "pat".into(), reason: "asked at the desk".into(), ticket: None };
        let ask = EnrollmentAsk {
            key: RequestKey {
                id: RequestId::from_parts(self.now(), fleet_keys::random_bytes()),
                portal: portal().name,
            },
            user: user.clone(),
            audience: None,
            change,
            wanted: Wanted { cause: Some(cause), ..wanted },
            test: NewTest {
                id: ChallengeId::from_parts(self.now(), fleet_keys::random_bytes()),
                number_match: Some([7; 16]),
            },
            locale: None,
            body_hash: [4; 32],
        };
        open_enrollment(&ask, None, (&account, Shown::Nothing), &operators(), self.now()).unwrap()
    }

    /// A request for another phone of ann's, which waits for its test.
    pub(crate) async fn ask_for_phone(&self, number: &str) -> Enrollment {
        let phone = phone(self, &ann().id, PhoneRole::Primary, number);
        let new = self.ask(Change::Phone, Wanted { phone: Some(phone), ..Wanted::default() }).await;
        assert!(new.live_test().is_some());
        new
    }

    pub(crate) async fn store(&self, new: &Enrollment) {
        let opened = self.records.open_enrollment(new, Beside::default()).await.unwrap();
        assert_eq!(opened, OpenedEnrollment::New);
    }

    /// The next version, which must count and be committed.
    pub(crate) async fn next(&self, before: &Enrollment, event: &EnrollmentEvent) -> Enrollment {
        let after = step_enrollment(before, event, self.now()).unwrap();
        assert_eq!(
            self.records.commit_enrollment(before, &after).await.unwrap(),
            CommittedEnrollment::Stored
        );
        after
    }

    /// Its test passes, if it has one.
    pub(crate) async fn pass(&self, before: &Enrollment) -> Enrollment {
        let Some(test) = before.live_test() else { return before.clone() };
        self.next(before, &EnrollmentEvent::TestEnded { id: test.id, reason: Reason::OkPin }).await
    }

    /// A change that is asked for, passes its test and takes effect.
    pub(crate) async fn change(&self, change: Change, wanted: Wanted) -> Enrollment {
        let new = self.ask(change, wanted).await;
        self.store(&new).await;
        let passed = self.pass(&new).await;
        self.next(&passed, &EnrollmentEvent::Apply).await
    }

    pub(crate) async fn stored(&self, enrollment: &Enrollment) -> StoredEnrollment {
        self.records.enrollment(&enrollment.key).await.unwrap().unwrap()
    }

    /// Stores a request; the user's open one gives way in the same commit, until nobody was faster.
    async fn store_newer(&self, new: &Enrollment) -> u32 {
        for tries in 1.. {
            let open = self.records.open_enrollment_of(&new.request.user).await.unwrap();
            let before = open.map(|stored| stored.enrollment);
            let supersede = EnrollmentEvent::Supersede;
            let after = before.as_ref().map(|open| step_enrollment(open, &supersede, self.now()).unwrap());
            let beside = Beside { superseded: before.as_ref().zip(after.as_ref()), proof: None };
            match self.records.open_enrollment(new, beside).await.unwrap() {
                OpenedEnrollment::New => return tries,
                OpenedEnrollment::Contended => {}
                other @ (OpenedEnrollment::Exists(_) | OpenedEnrollment::ProofSpent) => panic!("{other:?}"),
            }
        }
        0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_processes_that_commit_the_same_version_one_wins_and_its_act_is_the_only_one() {
    let scratch = Scratch::new().await;
    let processes = [Process::start(&scratch).await, Process::start(&scratch).await];
    processes[0].records.put_user(&ann()).await.unwrap();
    let before = processes[0].ask_for_phone("+19195550102").await;
    processes[0].store(&before).await;
    let canceled = step_enrollment(&before, &EnrollmentEvent::Cancel, processes[0].now()).unwrap();
    let failed = step_enrollment(&before, &EnrollmentEvent::Fail, processes[0].now()).unwrap();
    let commits = (0..10).map(|number| {
        let after = if number % 2 == 0 { &canceled } else { &failed };
        processes[number % 2].records.commit_enrollment(&before, after)
    });
    let won: Vec<bool> = join_all(commits)
        .await
        .into_iter()
        .map(|committed| committed.unwrap() == CommittedEnrollment::Stored)
        .collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let expected = if won.iter().position(|won| *won).unwrap() % 2 == 0 { canceled } else { failed };
    assert_eq!(processes[1].stored(&before).await.enrollment, expected);
    assert_eq!(scratch.sql("SELECT version FROM acts ORDER BY version").await, ["1", "2"]);
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_newer_requests_at_once_exactly_one_stays_open_and_each_of_the_others_gave_way() {
    let scratch = Scratch::new().await;
    let processes = [Process::start(&scratch).await, Process::start(&scratch).await];
    processes[0].records.put_user(&ann()).await.unwrap();
    let first = processes[0].ask_for_phone("+19195550102").await;
    processes[0].store(&first).await;
    let newer = join_all((0..8).map(|number| processes[number % 2].ask_for_phone("+19195550103"))).await;
    let storing = newer.iter().enumerate().map(|(number, new)| processes[number % 2].store_newer(new));
    join_all(storing).await;
    let mut open = 0;
    for request in newer.iter().chain([&first]) {
        let stored = processes[0].stored(request).await.enrollment;
        match stored.live.end {
            None => open += 1,
            Some(end) => {
                assert_eq!(end.reason, EnrollmentReason::Superseded);
                assert_eq!(stored.version, 2, "it gave way once");
            }
        }
    }
    assert_eq!(open, 1);
    let acts = scratch.sql("SELECT count(*) FROM acts").await;
    assert_eq!(acts, [(newer.len() + 1 + newer.len()).to_string()], "one for each version");
    // A request that nobody gives way to finds the place taken, and is not stored.
    let late = processes[0].ask_for_phone("+19195550104").await;
    let opened = processes[0].records.open_enrollment(&late, Beside::default()).await.unwrap();
    assert_eq!(opened, OpenedEnrollment::Contended);
    assert_eq!(processes[0].records.enrollment(&late.key).await.unwrap(), None);
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_finds_its_own_id_taken_leaves_the_one_that_would_give_way_open() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let old = process.ask_for_phone("+19195550102").await;
    process.store(&old).await;
    let canceled = process.next(&old, &EnrollmentEvent::Cancel).await;
    let open = process.ask_for_phone("+19195550103").await;
    process.store(&open).await;
    let after = step_enrollment(&open, &EnrollmentEvent::Supersede, process.now()).unwrap();
    let beside = Beside { superseded: Some((&open, &after)), proof: None };
    let opened = process.records.open_enrollment(&old, beside).await.unwrap();
    let stored = StoredEnrollment { enrollment: canceled, told: 0 };
    assert_eq!(opened, OpenedEnrollment::Exists(Box::new(stored)));
    assert!(process.stored(&open).await.enrollment.is_open());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_proved_one_request_proves_no_other_however_many_ask_at_once() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let proof = ChallengeId::from_parts(process.now(), [1; 10]).uuid();
    let users: Vec<UserId> = (0..8).map(|n| UserId::parse(&format!("user-{n}")).unwrap()).collect();
    let mut requests = Vec::new();
    for user in &users {
        let phone = phone(&process, user, PhoneRole::Primary, "+19195550102");
        let wanted = Wanted { method: Some(Channel::Voice), phone: Some(phone), ..Wanted::default() };
        requests.push(process.ask_for(user, Change::Enroll, wanted).await);
    }
    let beside = || Beside { superseded: None, proof: Some(proof) };
    let opened = join_all(requests.iter().map(|new| process.records.open_enrollment(new, beside()))).await;
    let opened: Vec<OpenedEnrollment> = opened.into_iter().map(Result::unwrap).collect();
    let new = opened.iter().filter(|opened| **opened == OpenedEnrollment::New).count();
    let spent = opened.iter().filter(|opened| **opened == OpenedEnrollment::ProofSpent).count();
    assert_eq!((new, spent), (1, 7));
    assert_eq!(scratch.sql("SELECT count(*) FROM enrollments").await, ["1"], "the others were not stored");
    // The one that has spent it is found again.
    let winner = &requests[opened.iter().position(|opened| *opened == OpenedEnrollment::New).unwrap()];
    let again = process.records.open_enrollment(winner, beside()).await.unwrap();
    assert!(matches!(again, OpenedEnrollment::Exists(_)), "{again:?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_untold_or_still_to_be_collected_is_found_until_it_is_done() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let records = &process.records;
    records.put_user(&ann()).await.unwrap();
    let due = async |after: Duration| {
        let found = records.due_enrollments(process.now().plus(after), 10).await.unwrap();
        found.into_iter().map(|stored| stored.enrollment.key).collect::<Vec<_>>()
    };
    let new = process.ask_for_phone("+19195550102").await;
    process.store(&new).await;
    assert_eq!(due(Duration::ZERO).await, [], "its test is under way");
    assert_eq!(due(Duration::from_mins(11)).await, std::slice::from_ref(&new.key), "its time is over");

    // The challenge of its test ends, and nobody says so.
    let test = test_challenge(&new, &operators(), process.now()).unwrap();
    assert_eq!(test.request.purpose, Purpose::EnrollmentTest);
    assert_eq!(records.create(&test, note("test")).await.unwrap(), Created::New);
    assert_eq!(due(Duration::ZERO).await, []);
    let stored = fleet_records::Stored { challenge: test.clone(), told: 0 };
    process.apply(&stored, &fleet_domain::Event::Cancel).await;
    assert_eq!(due(Duration::ZERO).await, std::slice::from_ref(&new.key));
    let of_test = records.enrollment_of_test(&test.key).await.unwrap().unwrap();
    assert_eq!(of_test.enrollment, new);
    let stranger =
        ChallengeKey { portal: fleet_domain::PortalName::parse("others").unwrap(), ..test.key.clone() };
    assert_eq!(records.enrollment_of_test(&stranger).await.unwrap(), None, "an id counts with its portal");

    let missed = EnrollmentEvent::TestEnded { id: test.key.id, reason: Reason::NoAnswer };
    let missed = process.next(&new, &missed).await;
    assert_eq!(due(Duration::ZERO).await, []);
    assert_eq!(records.enrollment_of_test(&test.key).await.unwrap(), None, "it is not under way any more");

    let retry = NewTest { id: ChallengeId::from_parts(process.now(), [2; 10]), number_match: None };
    let retried = process.next(&missed, &EnrollmentEvent::Retry(retry)).await;
    let passed = process.pass(&retried).await;
    assert_eq!(due(Duration::ZERO).await, std::slice::from_ref(&new.key), "the change is still to be stored");
    let done = process.next(&passed, &EnrollmentEvent::Apply).await;
    assert_eq!(due(Duration::from_hours(1)).await, []);
    assert_eq!(records.open_enrollment_of(&ann().id).await.unwrap(), None);

    let untold = async || records.untold_enrollments(10).await.unwrap().len();
    assert_eq!(untold().await, 1);
    records.mark_enrollment_told(&done.key, done.version - 1).await.unwrap();
    assert_eq!(untold().await, 1, "an earlier version was told");
    records.mark_enrollment_told(&done.key, done.version).await.unwrap();
    records.mark_enrollment_told(&done.key, 1).await.unwrap();
    assert_eq!(untold().await, 0, "a mark that comes late takes nothing back");
    assert_eq!(process.stored(&done).await.told, done.version);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_still_to_be_collected_come_in_pages_each_of_them_once() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    let mut stored = Vec::new();
    for number in 0..7 {
        let user = UserId::parse(&format!("user-{number}")).unwrap();
        let new = process.ask_for(&user, Change::Block, Wanted::default()).await;
        assert_eq!(new.result(), EnrollmentResult::Refused, "there is no such user");
        process.store(&new).await;
        stored.push(new.key);
    }
    let mut found = Vec::new();
    let mut last: Option<Enrollment> = None;
    loop {
        let page = process.records.collectable_enrollments(process.now(), last.as_ref(), 3).await.unwrap();
        assert!(page.len() <= 3);
        let Some(end) = page.last() else { break };
        last = Some(end.enrollment.clone());
        found.extend(page.into_iter().map(|stored| stored.enrollment.key));
    }
    found.sort_unstable();
    stored.sort_unstable();
    assert_eq!(found, stored);
    let after = process.now().plus(Duration::from_hours(1));
    assert!(process.records.collectable_enrollments(after, None, 10).await.unwrap().is_empty());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_settled_by_loading_and_stores_the_change_once() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let new = process.ask_for_phone("+19195550102").await;
    let proxy = DeafProxy::start(scratch.settings()).await;
    let behind = Process::with(proxy.settings(scratch.settings())).await;

    proxy.lose_the_answer_to("COMMIT");
    let opened = behind.records.open_enrollment(&new, Beside::default()).await;
    assert_eq!(opened.unwrap_err().class(), fleet_records::ErrorClass::Retry);
    let again = behind.records.open_enrollment(&new, Beside::default()).await.unwrap();
    let stored = StoredEnrollment { enrollment: new.clone(), told: 0 };
    assert_eq!(again, OpenedEnrollment::Exists(Box::new(stored)));

    let passed = process.pass(&new).await;
    let done = step_enrollment(&passed, &EnrollmentEvent::Apply, process.now()).unwrap();
    proxy.lose_the_answer_to("COMMIT");
    let committed = behind.records.commit_enrollment(&passed, &done).await;
    assert_eq!(committed.unwrap_err().class(), fleet_records::ErrorClass::Retry);
    assert_eq!(behind.stored(&done).await.enrollment, done);
    let again = behind.records.commit_enrollment(&passed, &done).await.unwrap();
    assert_eq!(again, CommittedEnrollment::Contended, "once is enough");
    let user = user_of(&process, &ann().id).await.unwrap();
    assert_eq!(user.phones[0].masked, "+1919*****02");
    assert_eq!(scratch.sql("SELECT version FROM acts ORDER BY version").await, ["1", "2", "3"]);
    behind.stop().await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn right_answers_make_a_recovery_done_without_changing_anything_of_the_user() {
    let scratch = Scratch::new().await;
    let process = Process::start(&scratch).await;
    process.records.put_user(&ann()).await.unwrap();
    let before = user_of(&process, &ann().id).await;
    let wanted = Wanted { asked: vec!["street".into(), "pet".into()], ..Wanted::default() };
    let new = process.ask(Change::Recovery, wanted).await;
    process.store(&new).await;
    let right = process.next(&new, &EnrollmentEvent::Answered(Answers::Right)).await;
    let done = process.next(&right, &EnrollmentEvent::Apply).await;
    assert_eq!(done.result(), EnrollmentResult::Done);
    assert_eq!(user_of(&process, &ann().id).await, before);
    process.stop().await;
}
