//! Changes of enrollments of every kind of end, with a secret wherever one fits.

use fleet_app_client::{Activation, Device, DeviceAlg, DeviceKeyPair, Platform, Push, Verified};
use fleet_contracts::{EnrollmentOutcome, NumberMatch};
use fleet_domain::{
    ChallengeId, Change, Channel, EnrollmentPolicy, EnrollmentReason, EnrollmentResult, NextStep, PhoneKind,
    PhoneRole, PinRule, Policy, Reason, RequestId, UserId,
};
use fleet_keys::EnrollmentPublicKey;
use fleet_portal_client::{EnrollmentDraft, GivenPhone};
use serde_json::{Value as Json, json};

use crate::nests::Bird;
use crate::world::{PATIENCE, Running, World, enrollment_keys, until};
use crate::{HOSTILE, phone, with_pin};

const NEW: &str = "+14845557264";
const NEW_EXTENSION: &str = ",,61938274#";
const NEW_BACKUP: &str = "+14845558137";
const RECOVERED: &str = "+14845559278";
const BUSY: &str = "+14845553186";
/// Refused: of a line that costs, with an extension that can't be keyed, and no number at all.
const PREMIUM: &str = "+19004558264";
const BAD_EXTENSION: &str = ",,77x19283";
const NO_NUMBER: &str = "98455572649";
const NEW_PIN: &str = "640275918364";
/// Refused as a part of an own number.
const OWN_DIGITS_PIN: &str = "4845557264";
const RECOVERED_PIN: &str = "517390826415";
/// For a box that does not fit its change.
const LOST_PIN: &str = "295183640718";
const SHOWN_NUMBER: &str = "571938";
const ANSWERS: [(&str, &str); 4] = [
    ("street", "quokkalagoon"),
    ("teacher", "wolframitealley"),
    ("pet", "zinniaplateau"),
    ("city", "okapifjord"),
];
const WRONG_ANSWER: &str = "pangolinreef";
const ACTOR: &str = "marigold-417";
const SAID: &str = "the badge 556271 was shown";
const TICKET: &str = "INC-883145";
/// Where pushes to the activated app go, at first and later.
const FID: &str = "cormorant-fid-40917263";
const NEW_TOKEN: &str = "cormorant-token-81736254";

/// Who is called, and the address that FCM must know, in the form of the simulator's `people` file.
pub(crate) fn people() -> String {
    let device = "00000000-0000-8000-8000-000000031339";
    let (private_key, _) = fleet_simulator::new_device_key().unwrap();
    let installation = format!(
        "[[device]]\ndevice_id = \"{device}\"\nfid = \"{FID}\"\nprivate_key = \"{private_key}\"\nignores = true\n"
    );
    let person = |number: &str, acts: String| {
        format!("[[person]]\nname = \"{number}\"\nnumber = \"{number}\"\n{acts}\n")
    };
    let presses =
        |pin: &str| format!("answers = {{ after = \"1s\" }}\npresses = [\"{pin}#\", \"{SHOWN_NUMBER}#\"]");
    [
        person(NEW, presses(NEW_PIN)),
        person(RECOVERED, presses(RECOVERED_PIN)),
        person(BUSY, "busy = true".into()),
        installation,
    ]
    .concat()
}

/// What must be found nowhere, and what only where it is kept on purpose.
pub(crate) fn birds() -> Vec<Bird> {
    let mut birds = vec![
        Bird::secret("an extension of an enrollment", "61938274"),
        Bird::secret("a refused extension", "77x19283"),
        Bird::secret("a refused number", NO_NUMBER),
        Bird::secret("a number to match of a test", SHOWN_NUMBER),
        Bird::secret("a wrong answer", WRONG_ANSWER),
        Bird::secret("the private key", "656e726f6c6c6d656e74206b"),
    ];
    // Where pushes go is stored as it is, since FCM must be told it.
    for address in [FID, NEW_TOKEN] {
        birds.push(Bird::kept("an app's push address", address, &["devices", "untested_devices"]));
    }
    for number in [NEW, NEW_BACKUP, RECOVERED, BUSY, PREMIUM] {
        birds.push(Bird::secret("a phone number of an enrollment", &number[2..]));
    }
    for pin in [NEW_PIN, OWN_DIGITS_PIN, RECOVERED_PIN, LOST_PIN] {
        birds.push(Bird::secret("a PIN of an enrollment", pin));
    }
    birds.extend(ANSWERS.map(|(_, answer)| Bird::secret("an answer", answer)));
    // Who did what to users, and why, is what the audit is for.
    let audited = &["acts", "enrollments"];
    for text in [ACTOR, SAID, TICKET] {
        birds.push(Bird::kept("what an operator said", text, audited));
    }
    birds
}

/// What an operator said, as if it were to be found nowhere.
pub(crate) fn said_by_an_operator() -> Bird {
    Bird::secret("what an operator said", SAID)
}

fn policy(operators: bool) -> Policy {
    let question =
        |(id, _): (&str, &str)| json!({ "id": id, "texts": { "en-US": format!("What about your {id}?") } });
    let questions = json!({ "questions": ANSWERS.map(question) });
    let enrollment = EnrollmentPolicy {
        requests: Change::ALL.iter().copied().filter(|change| operators || !change.is_operators()).collect(),
        operators,
        recovery: true,
        questions: serde_json::from_value(questions).unwrap(),
        ..EnrollmentPolicy::default()
    };
    Policy {
        approve_only: true,
        ring_s: 20,
        prompts: 3,
        pin: PinRule::Required,
        enrollment,
        ..Policy::default()
    }
}

/// Changes of every kind of end. Gives the secrets that the fleet has made for them.
pub(crate) async fn changes(world: &World, fleet: &Running) -> Vec<Bird> {
    let desk = Desk { world, key: enrollment_keys(&world.environment).current() };
    register(world, fleet, true).await;
    desk.operate().await;
    register(world, fleet, false).await;
    desk.enroll_and_refuse().await;
    let made = desk.activate().await;
    desk.recover().await;
    made
}

async fn register(world: &World, fleet: &Running, operators: bool) {
    world.register(policy(operators)).await;
    until("the fleet knows the policy", || async {
        let portal = fleet.assembly.engine.portal(world.portal.portal()).unwrap();
        portal.policy.enrollment.operators == operators && !portal.policy.enrollment.requests.is_empty()
    })
    .await;
}

struct Desk<'a> {
    world: &'a World,
    key: EnrollmentPublicKey,
}

impl Desk<'_> {
    async fn ask(&self, draft: EnrollmentDraft) -> RequestId {
        self.world.portal.enroll(&draft.seal(&self.key)).await.unwrap()
    }

    async fn ended(&self, id: RequestId) -> Option<EnrollmentReason> {
        let is_over = |outcome: &EnrollmentOutcome| outcome.result != EnrollmentResult::Pending;
        self.world.portal.wait_enrollment(id, PATIENCE, is_over).await.unwrap().reason
    }

    async fn expect(&self, draft: EnrollmentDraft, reason: EnrollmentReason) -> RequestId {
        let id = self.ask(draft).await;
        assert_eq!(self.ended(id).await, Some(reason));
        id
    }

    fn change(&self, user: &UserId, change: Change) -> EnrollmentDraft {
        self.world.portal.enrollment(user.clone(), change)
    }

    /// What operators do.
    async fn operate(&self) {
        let keeper = self.keeper().await;
        let gone = self.world.caller("gone", BUSY).await;
        let by_us = |user, change| self.change(user, change).by_operator(ACTOR, SAID).ticket(TICKET);
        let questions = with_answers(by_us(&keeper, Change::Questions));
        let pin = by_us(&keeper, Change::Pin).pin(OWN_DIGITS_PIN);
        // Cut short by the next one: its test can't reach anybody.
        self.ask(pin).await;
        for draft in [
            questions,
            by_us(&keeper, Change::Block),
            by_us(&keeper, Change::Unblock),
            by_us(&keeper, Change::DeviceLost),
            by_us(&keeper, Change::Bypass).seconds(60),
            by_us(&gone, Change::Delete),
        ] {
            self.expect(draft, EnrollmentReason::Ok).await;
        }
        assert_eq!(self.sign_in(&keeper).await.1, Some(Reason::OkBypass));
    }

    async fn keeper(&self) -> UserId {
        let phones = vec![phone(PhoneRole::Primary, BUSY, None)];
        let keeper = self.world.user("keeper", Channel::Voice, phones, Vec::new()).await;
        with_pin(self.world, &keeper).await;
        keeper
    }

    /// A newcomer gives everything, and then much that is refused.
    async fn enroll_and_refuse(&self) {
        let user = UserId::parse("newcomer").unwrap();
        let enroll = self.change(&user, Change::Enroll).method(Channel::Voice);
        let enroll =
            enroll.phone(given(NEW, Some(NEW_EXTENSION))).backup(given(NEW_BACKUP, None)).pin(NEW_PIN);
        self.expect(with_answers(enroll).showing(shown()), EnrollmentReason::Ok).await;
        let (proof, reason) = self.sign_in(&user).await;
        assert_eq!(reason, Some(Reason::OkNumberMatch));
        let change = |change| self.change(&user, change).proved_by(proof);
        let phone = |number, extension| change(Change::Phone).phone(given(number, extension));
        for (draft, reason) in [
            (change(Change::Pin).pin(OWN_DIGITS_PIN), EnrollmentReason::PinWeak),
            (change(Change::Pin).pin(NEW_PIN), EnrollmentReason::PinReused),
            (phone(PREMIUM, None), EnrollmentReason::DestinationNotAllowed),
            (phone(NEW, Some(BAD_EXTENSION)), EnrollmentReason::InvalidExtension),
            (phone(NO_NUMBER, None), EnrollmentReason::InvalidNumber),
            (change(Change::Questions).answer("pet", WRONG_ANSWER), EnrollmentReason::QuestionsInvalid),
            (self.change(&user, Change::Pin).pin(RECOVERED_PIN), EnrollmentReason::ProofRequired),
        ] {
            self.expect(draft, reason).await;
        }
    }

    /// An app is activated with the second of two codes, tested, and gets another push address.
    async fn activate(&self) -> Vec<Bird> {
        let (user, portal) = (UserId::parse("newcomer").unwrap(), &self.world.portal);
        let (proof, _) = self.sign_in(&user).await;
        let id = self.ask(self.change(&user, Change::DeviceActivate).proved_by(proof)).await;
        let shows = async |seq: u32| {
            let is_newer = |outcome: &EnrollmentOutcome| {
                outcome.next_step == Some(NextStep::ActivateDevice) && outcome.seq > seq
            };
            let outcome = portal.wait_enrollment(id, PATIENCE, is_newer).await.unwrap();
            (outcome.seq, outcome.activation.unwrap())
        };
        let (seq, void) = shows(0).await;
        portal.new_activation_code(id).await.unwrap();
        let (_, latest) = shows(seq).await;
        let (void, latest) =
            ([void.code, void.qr].map(Option::unwrap), [latest.code, latest.qr].map(Option::unwrap));
        let key = || DeviceKeyPair::generate(DeviceAlg::EdDsa);
        let (shown_as, installation) = (("a phone", Platform::Ios), Push::Fid(FID.into()));
        let scan = |[_, qr]: &[String; 2]| Activation::scan(qr).unwrap();
        Device::activate(&scan(&void), key(), shown_as, Some(&installation)).await.unwrap_err();
        let mut device =
            Device::activate(&scan(&latest), key(), shown_as, Some(&installation)).await.unwrap();
        let may_begin = |outcome: &EnrollmentOutcome| outcome.next_step == Some(NextStep::BeginTest);
        portal.wait_enrollment(id, PATIENCE, may_begin).await.unwrap();
        portal.test_again(id, Some(shown())).await.unwrap();
        until("the app lists its test", || async { !device.list().await.unwrap().is_empty() }).await;
        let test = device.list().await.unwrap().remove(0);
        device.approve(&test, Some(SHOWN_NUMBER), Some(Verified::Pin)).await.unwrap();
        assert_eq!(self.ended(id).await, Some(EnrollmentReason::Ok));
        device.push_address(Some(&Push::Token(NEW_TOKEN.into()))).await.unwrap();

        let file = self.world.file("app.json");
        device.save(&file).unwrap();
        let stored: Json = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let mut birds = vec![Bird::secret(
            "the secret of an activated app's codes",
            stored["totp_secret"].as_str().unwrap(),
        )];
        for [code, qr] in [void, latest] {
            let long = qr.rsplit_once("code=").unwrap().1;
            birds.push(Bird::secret("a typed activation code", &code));
            birds.push(Bird::secret("a typed activation code without its dashes", &code.replace('-', "")));
            birds.push(Bird::secret("a scanned activation code", long));
        }
        birds
    }

    /// Answers, wrong and right ones, and the change that they allow.
    async fn recover(&self) {
        let user = UserId::parse("keeper").unwrap();
        for (right, reason) in [(false, EnrollmentReason::AnswersMismatch), (true, EnrollmentReason::Ok)] {
            let (missed, busy) = self.sign_in(&user).await;
            assert_eq!(busy, Some(Reason::Busy));
            let id = self.ask(self.change(&user, Change::Recovery).after(missed)).await;
            let asks = |outcome: &EnrollmentOutcome| outcome.next_step == Some(NextStep::AnswerQuestions);
            let asked = self.world.portal.wait_enrollment(id, PATIENCE, asks).await.unwrap().questions;
            let given =
                ANSWERS.map(|(question, answer)| (question, if right { answer } else { WRONG_ANSWER }));
            let given: Vec<_> =
                given.into_iter().filter(|(id, _)| asked.iter().any(|one| one == id)).collect();
            self.world.portal.answer((id, &user), &given, &self.key).await.unwrap();
            assert_eq!(self.ended(id).await, Some(reason));
            if right {
                let method = self.change(&user, Change::Method).method(Channel::Voice).proved_by_request(id);
                let method = method.phone(given_phone(RECOVERED)).pin(RECOVERED_PIN).showing(shown());
                self.expect(method, EnrollmentReason::Ok).await;
            }
        }
    }

    /// A line that the last call still holds is waited for.
    async fn sign_in(&self, user: &UserId) -> (ChallengeId, Option<Reason>) {
        for _ in 0..100 {
            let id = self.world.ask(&self.world.portal.draft(user.clone()).showing(shown())).await;
            let reason = self.world.outcome(id).await.reason;
            if reason != Some(Reason::CallInProgress) {
                return (id, reason);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the line stays busy")
    }
}

fn with_answers(draft: EnrollmentDraft) -> EnrollmentDraft {
    ANSWERS.iter().fold(draft, |draft, (question, answer)| draft.answer(question, answer))
}

fn given(number: &str, extension: Option<&str>) -> GivenPhone {
    GivenPhone { number: number.to_owned(), extension: extension.map(str::to_owned), kind: PhoneKind::Mobile }
}

fn given_phone(number: &str) -> GivenPhone {
    given(number, None)
}

fn shown() -> NumberMatch {
    NumberMatch::parse(SHOWN_NUMBER).unwrap()
}

/// Messages about enrollments that break their contracts in one field each, and boxes that don't fit.
pub(crate) fn hostile_bodies(world: &World) -> Vec<(&'static str, Json)> {
    let id = RequestId::from_parts(fleet_lifecycle::Clock::system().now(), [8; 10]).to_string();
    let request = json!({ "request_id": id, "user_id": "newcomer", "change": "pin_change" });
    let mut bodies = hostile_fields(&request);
    let key = enrollment_keys(&world.environment).current();
    for text in hostile_secrets(&id) {
        let sealed = json!({ "key_id": key.id(), "box": base64url(&key.seal(text.as_bytes())) });
        bodies.push(("enrollment.request", event("requested", &with(&request, "sealed", sealed.clone()))));
        let answers = json!({ "request_id": id, "with": "answers", "sealed": sealed });
        bodies.push(("enrollment.continue", event("continued", &answers)));
    }
    // In clear, where a box must be.
    for in_clear in [json!({ "pin": LOST_PIN, "phone": NEW }), json!({ "key_id": LOST_PIN, "box": NEW })] {
        bodies.push(("enrollment.request", event("requested", &with(&request, "sealed", in_clear))));
    }
    bodies
}

fn event(kind: &str, data: &Json) -> Json {
    let kind = format!("mfa.enrollment.{kind}.v1");
    json!({ "specversion": "1.0", "id": "1", "source": "/t", "type": kind, "data": data })
}

fn with(body: &Json, field: &str, value: Json) -> Json {
    let mut body = body.clone();
    body[field] = value;
    body
}

fn hostile_fields(request: &Json) -> Vec<(&'static str, Json)> {
    let cancel = json!({ "request_id": request["request_id"], "with": "cancel" });
    let mut bodies = Vec::new();
    for value in
        [json!(HOSTILE), json!([HOSTILE]), json!({ HOSTILE: HOSTILE }), json!(4_929_876_543_214_321_u64)]
    {
        for field in REQUESTED {
            bodies.push(("enrollment.request", event("requested", &with(request, field, value.clone()))));
        }
        for field in CONTINUED {
            bodies.push(("enrollment.continue", event("continued", &with(&cancel, field, value.clone()))));
        }
    }
    bodies
}

/// The fields that hostile values are put into: all but those of free text, and some that are not there.
const REQUESTED: [&str; 16] = [
    "request_id",
    "change",
    "audience",
    "method",
    "phone",
    "device",
    "sealed",
    "proof",
    "after",
    "number_match",
    "until",
    "seconds",
    "locale",
    "pin",
    "answers",
    HOSTILE,
];
const CONTINUED: [&str; 5] = ["request_id", "with", "number_match", "sealed", HOSTILE];

/// What boxes open to that no change takes.
fn hostile_secrets(id: &str) -> Vec<String> {
    let good = json!({ "request_id": id, "user_id": "newcomer", "pin": LOST_PIN });
    let answer = json!({ "question": "pet", "answer": WRONG_ANSWER });
    let plains = [
        with(&good, "user_id", json!("victim")),
        with(&good, "request_id", json!(HOSTILE)),
        with(&good, HOSTILE, json!(HOSTILE)),
        with(&good, LOST_PIN, json!("a name")),
        with(&good, "pin", json!([LOST_PIN])),
        with(&good, "phone", json!(NEW)),
        with(&good, "phone", json!({ "number": NEW, "kind": HOSTILE })),
        with(&good, "phone", json!({ "number": NEW, NEW: NEW })),
        with(&good, "answers", json!([with(&answer, "answer", json!([WRONG_ANSWER]))])),
        with(&good, "answers", json!([with(&answer, WRONG_ANSWER, json!(1))])),
        with(&good, "answers", json!([answer])),
        json!([LOST_PIN]),
        json!(LOST_PIN),
    ];
    let broken = [format!("{{\"pin\":\"{LOST_PIN}\""), format!("{LOST_PIN}\u{0}{NEW}")];
    plains.iter().map(Json::to_string).chain(broken).collect()
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
