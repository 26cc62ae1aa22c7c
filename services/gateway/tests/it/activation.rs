//! The routes by which a device comes to be, says where its pushes go, and gives itself up.

use fleet_domain::{
    AskedStep, Change, Channel, Enrollment, EnrollmentAsk, EnrollmentEvent, EnrollmentPolicy,
    EnrollmentState, NewTest, NextStep, Policy, Reason, RequestId, RequestKey, Shown, Target, UserId, Wanted,
    open_enrollment, step_enrollment,
};
use fleet_keys::random_bytes;
use fleet_records::{ActivationCode, Beside, CommittedEnrollment, OpenedEnrollment};
use serde_json::{Value, json};

use crate::phone::Phone;
use crate::support::{Fleet, PUBLIC_URL, Reply, TITLE, portal};

const PUSH: &[AskedStep] = &[AskedStep { channel: Channel::Push, target: Target::Primary, timeout: None }];

/// A request whose device is awaited, as its acceptance leaves it.
async fn awaited(fleet: &Fleet, user: &UserId) -> Enrollment {
    let requests = vec![Change::DeviceActivate];
    let enrollment = EnrollmentPolicy { requests, operators: true, ..EnrollmentPolicy::default() };
    fleet.policy(Policy { enrollment, ..Policy::default() }).await;
    let records = fleet.engine.records();
    fleet
        .until(|fleet| {
            fleet.engine.records().portal(&portal()).is_some_and(|p| p.policy.enrollment.operators)
        })
        .await;
    let now = fleet.engine.now();
    let ask = EnrollmentAsk {
        key: RequestKey { id: RequestId::from_parts(now, random_bytes()), portal: portal() },
        user: user.clone(),
        audience: None,
        change: Change::DeviceActivate,
        wanted: Wanted::default(),
        test: NewTest { id: fleet_domain::ChallengeId::from_parts(now, random_bytes()), number_match: None },
        locale: None,
        body_hash: [1; 32],
    };
    let account = records.account(user).await.unwrap();
    let portal = records.portal(&portal()).unwrap();
    let opened = open_enrollment(&ask, None, (&account, Shown::Nothing), &portal, now).unwrap();
    assert_eq!(opened.live.next_step, Some(NextStep::ActivateDevice), "{opened:?}");
    assert_eq!(records.open_enrollment(&opened, Beside::default()).await.unwrap(), OpenedEnrollment::New);
    opened
}

fn code(fleet: &Fleet, request: &Enrollment, counter: u8) -> ActivationCode {
    fleet.engine.records().activation_code(&request.key, counter)
}

/// The claims of an activation, with some changed.
fn claims(fleet: &Fleet, code: &str, changes: &Value) -> Value {
    let mut claims = json!({
        "aud": PUBLIC_URL,
        "iat": fleet.engine.now().as_secs(),
        "code": code,
        "name": "Avery’s phone",
        "platform": "android",
        "push": { "token": "a-token" },
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn activate(fleet: &Fleet, phone: &Phone, code: &str) -> Reply {
    let jws = phone.sign_unknown("mfa-activation+jwt", &claims(fleet, code, &json!({})));
    fleet.post_jose("/app/activate", jws).await
}

fn error(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

async fn stored(fleet: &Fleet, request: &Enrollment) -> Enrollment {
    fleet.engine.records().enrollment(&request.key).await.unwrap().unwrap().enrollment
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_s22_either_code_activates_a_device_once_and_the_same_device_hears_the_same_again() {
    let fleet = Fleet::start().await;
    let user = fleet.enroll("ada", &[]).await;
    for typed in [false, true] {
        let request = awaited(&fleet, &user).await;
        let codes = code(&fleet, &request, 1);
        let shown = if typed { codes.typed.to_string().to_lowercase() } else { codes.long.clone() };
        let (phone, other) = (Phone::new(), Phone::new());
        let first = activate(&fleet, &phone, &shown).await;
        assert_eq!(first.status, 201, "{first:?}");
        let body = first.json();
        assert_eq!((&body["portal_title"], &body["account"]), (&json!(TITLE), &json!("ada")));
        let uri = body["totp"]["uri"].as_str().unwrap();
        assert!(uri.starts_with("otpauth://totp/Example%20University:ada?secret="), "{uri}");
        let after = stored(&fleet, &request).await;
        assert_eq!(
            (after.live.state, after.live.next_step),
            (EnrollmentState::AwaitingTest, Some(NextStep::BeginTest))
        );
        assert_eq!(after.activated().map(|id| json!(id.to_string())), Some(body["device_id"].clone()));
        // Its answer may have been lost: the other form of the code is the same activation.
        let again = activate(&fleet, &phone, &codes.long).await;
        assert_eq!((again.status, again.json()), (200, body));
        assert_eq!(error(&activate(&fleet, &other, &codes.long).await), (409, "activation_used".into()));
        assert_eq!(stored(&fleet, &request).await, after);
        // A newer request takes its place, as at any portal.
        let ended = step_enrollment(&after, &EnrollmentEvent::Supersede, fleet.engine.now()).unwrap();
        assert_eq!(
            fleet.engine.records().commit_enrollment(&after, &ended).await.unwrap(),
            CommittedEnrollment::Stored
        );
        assert_eq!(
            error(&activate(&fleet, &phone, &codes.long).await),
            (410, "activation_expired".into()),
            "its device is gone"
        );
        let rows = fleet.scratch.as_ref().unwrap().sql("SELECT count(*) FROM untested_devices").await;
        assert_eq!(rows, ["0"]);
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s19_e5_a_new_code_voids_the_one_before_and_none_counts_after_its_time() {
    let fleet = Fleet::start().await;
    let user = fleet.enroll("ada", &[]).await;
    let request = awaited(&fleet, &user).await;
    let phone = Phone::new();
    let newer = step_enrollment(&request, &EnrollmentEvent::NewCode, fleet.engine.now()).unwrap();
    assert_eq!(
        fleet.engine.records().commit_enrollment(&request, &newer).await.unwrap(),
        CommittedEnrollment::Stored
    );
    let (void, latest) = (code(&fleet, &request, 1), code(&fleet, &request, 2));
    for shown in [&void.long, &void.typed.to_string()] {
        assert_eq!(error(&activate(&fleet, &phone, shown).await), (410, "activation_expired".into()));
    }
    // The codes are stored as keyed hashes and nowhere in clear.
    let dump = fleet
        .scratch
        .as_ref()
        .unwrap()
        .sql("SELECT a::text FROM activations a UNION ALL SELECT e::text FROM enrollments e")
        .await;
    for text in [&latest.long, &latest.typed.to_string(), &latest.typed.to_string().replace('-', "")] {
        assert!(dump.iter().all(|row| !row.contains(text.as_str())), "{text}");
    }
    let mut over = newer.clone();
    over.version += 1;
    over.live.activation.as_mut().unwrap().expires_at = fleet.engine.now();
    assert_eq!(
        fleet.engine.records().commit_enrollment(&newer, &over).await.unwrap(),
        CommittedEnrollment::Stored
    );
    assert_eq!(error(&activate(&fleet, &phone, &latest.long).await), (410, "activation_expired".into()));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_phones_that_race_with_one_code_one_gets_in() {
    let fleet = Fleet::start().await;
    let user = fleet.enroll("ada", &[]).await;
    let request = awaited(&fleet, &user).await;
    let code = code(&fleet, &request, 1).long;
    let phones: Vec<Phone> = (0..10).map(|_| Phone::new()).collect();
    let replies =
        futures_util::future::join_all(phones.iter().map(|phone| activate(&fleet, phone, &code))).await;
    let won = replies.iter().filter(|reply| reply.status == 201).count();
    let lost = replies.iter().filter(|reply| error(reply) == (409, "activation_used".into())).count();
    assert_eq!((won, lost), (1, 9), "{replies:?}");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_that_is_forged_misaddressed_stale_or_mistyped_is_refused_by_name_and_leaves_the_code_unused()
 {
    let fleet = Fleet::start().await;
    let user = fleet.enroll("ada", &[]).await;
    let request = awaited(&fleet, &user).await;
    let codes = code(&fleet, &request, 1);
    let (phone, other) = (Phone::new(), Phone::new());
    let typ = "mfa-activation+jwt";
    let good = claims(&fleet, &codes.long, &json!({}));
    let mut cases = Vec::new();
    for (changes, expected) in [
        (json!({ "aud": "https://other.example.org" }), (401, "unauthorized")),
        (json!({ "iat": fleet.engine.now().as_secs() - 90 }), (401, "unauthorized")),
        (json!({ "code": "2222-2222-2223" }), (400, "code_mistyped")),
        (json!({ "code": "A".repeat(22) }), (404, "activation_unknown")),
        (json!({ "name": "" }), (400, "malformed")),
        (json!({ "name": "x".repeat(65) }), (400, "malformed")),
        (json!({ "name": "a\u{7}" }), (400, "malformed")),
        (json!({ "name": "phone \u{202e}enohp" }), (400, "malformed")),
        (json!({ "platform": "windows" }), (400, "malformed")),
        (json!({ "push": { "token": "a", "fid": "b" } }), (400, "malformed")),
        (json!({ "push": {} }), (400, "malformed")),
        (json!({ "push": { "token": "a b" } }), (400, "malformed")),
        (json!({ "push": { "fid": "x".repeat(1025) } }), (400, "malformed")),
    ] {
        cases.push((phone.sign_unknown(typ, &claims(&fleet, &codes.long, &changes)), expected));
    }
    cases.push((phone.sign_unknown("mfa-answer+jwt", &good), (400, "malformed")));
    cases.push((phone.sign(typ, &good), (400, "malformed")));
    // Another phone's key with this one's signature, and a signature over something else.
    let (forged, theirs) = (phone.sign_unknown(typ, &good), other.sign_unknown(typ, &good));
    let parts = |jws: &str| jws.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (forged, theirs) = (parts(&forged), parts(&theirs));
    cases.push((format!("{}.{}.{}", theirs[0], theirs[1], forged[2]), (401, "unauthorized")));
    cases.push(("no JWS".to_owned(), (400, "malformed")));
    for (jws, (status, code)) in cases {
        let reply = fleet.post_jose("/app/activate", jws.clone()).await;
        assert_eq!(error(&reply), (status, code.to_owned()), "{jws}");
        assert!(!reply.body.contains(&codes.long), "no answer says the code again");
    }
    assert_eq!(stored(&fleet, &request).await, request);
    assert_eq!(activate(&fleet, &phone, &codes.long).await.status, 201);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_not_tested_yet_neither_sees_nor_answers_a_sign_in() {
    let fleet = Fleet::start().await;
    let own = Phone::new();
    let user = fleet.enroll("ada", &[&own]).await;
    let request = awaited(&fleet, &user).await;
    let mut new = Phone::new();
    let body = activate(&fleet, &new, &code(&fleet, &request, 1).long).await.json();
    new.id = fleet_domain::DeviceId::parse(body["device_id"].as_str().unwrap()).unwrap();
    let key = fleet.pushed(&user, PUSH, None).await;
    assert_eq!(fleet.get("/app/challenges", &new).await.json(), json!({ "challenges": [] }));
    assert_eq!(error(&fleet.answer(&key, &new, &json!({})).await), (403, "not_asked".into()));
    assert_eq!(fleet.get("/app/challenges", &own).await.json()["challenges"].as_array().unwrap().len(), 1);
    assert_eq!(fleet.answer(&key, &own, &json!({})).await.status, 200);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e9_an_older_push_address_that_comes_late_never_takes_the_place_of_a_newer_one() {
    let fleet = Fleet::start().await;
    let (phone, other) = (Phone::new(), Phone::new());
    let user = fleet.enroll("ada", &[&phone]).await;
    let refresh = async |phone: &Phone, changes: Value| {
        let mut claims = json!({
            "aud": PUBLIC_URL, "iat": fleet.engine.now().as_secs(), "device_id": phone.id.to_string(),
            "version": 7, "push": { "token": "seven" },
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        fleet.post_jose("/app/push-address", phone.sign("mfa-push-address+jwt", &claims)).await
    };
    assert_eq!(refresh(&phone, json!({})).await.status, 204);
    for version in [7, 6, 1] {
        let late = refresh(&phone, json!({ "version": version, "push": { "token": "late" } })).await;
        assert_eq!(error(&late), (409, "stale_version".into()), "{version}");
    }
    for bad in [
        json!({ "version": 0 }),
        json!({ "version": 1_u64 << 53 }),
        json!({ "device_id": other.id.to_string() }),
    ] {
        assert_eq!(error(&refresh(&phone, bad.clone()).await), (400, "malformed".into()), "{bad}");
    }
    assert_eq!(error(&refresh(&other, json!({})).await), (401, "unauthorized".into()));
    let token = async || {
        let user = fleet.engine.records().user(&user).await.unwrap().unwrap();
        user.devices[0].push_token.as_ref().map(|token| (token.reveal().to_owned(), token.is_fid()))
    };
    assert_eq!(token().await, Some(("seven".into(), false)));
    assert_eq!(refresh(&phone, json!({ "version": 8, "push": { "fid": "eight" } })).await.status, 204);
    assert_eq!(token().await, Some(("eight".into(), true)));
    assert_eq!(refresh(&phone, json!({ "version": 9, "push": null })).await.status, 204);
    assert_eq!(token().await, None);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s35_a_device_that_gives_itself_up_can_do_nothing_more_and_ends_what_only_it_could_answer() {
    let fleet = Fleet::start().await;
    let (phone, second) = (Phone::new(), Phone::new());
    let user = fleet.enroll("ada", &[&phone, &second]).await;
    let give_up = async |phone: &Phone, signer: &Phone| {
        let claims = json!({
            "aud": PUBLIC_URL, "iat": fleet.engine.now().as_secs(), "device_id": phone.id.to_string(),
        });
        let header = json!({ "alg": "ES256", "typ": "mfa-revocation+jwt", "kid": phone.id.to_string() });
        fleet.post_jose("/app/revoke", signer.sign_with(&header, &claims)).await
    };
    let key = fleet.pushed(&user, PUSH, None).await;
    assert_eq!(error(&give_up(&phone, &second).await), (401, "unauthorized".into()));
    assert_eq!(give_up(&phone, &phone).await.status, 204);
    assert_eq!(give_up(&phone, &phone).await.status, 204, "the first answer may have been lost");
    assert_eq!(error(&fleet.answer(&key, &phone, &json!({})).await), (401, "unauthorized".into()));
    assert!(fleet.stored(&key).await.is_open(), "the other device can answer it");
    assert_eq!(give_up(&second, &second).await.status, 204);
    assert_eq!(fleet.stored(&key).await.live.end.map(|end| end.reason), Some(Reason::Revoked));
    let acts = fleet.scratch.as_ref().unwrap().sql("SELECT act, actor FROM acts WHERE user_id = 'ada'").await;
    assert_eq!(acts.len(), 2, "{acts:?}");
    fleet.end().await;
}
