//! The routes of the carrier.

use fleet_broker::Queue;
use fleet_domain::{Assurance, AttemptState, ChallengeKey, Channel, Event, Progress, Reason};
use roxmltree::Document;

use crate::support::{Fleet, PUBLIC_URL, Reply, SID, TITLE, by, signature};

const HANG_UP: &[(&str, &str)] = &[("Hangup", "")];

/// The verbs of a document in order, each with its text.
pub(crate) fn verbs(reply: &Reply) -> Vec<(String, String)> {
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/xml; charset=utf-8"), "{reply:?}");
    assert_eq!(reply.header("cache-control"), "no-store");
    let document = Document::parse(&reply.body).unwrap();
    let verbs = document.descendants().filter(|node| node.is_element() && !node.has_tag_name("Response"));
    let text = |node: roxmltree::Node<'_, '_>| node.text().unwrap_or_default().trim().to_owned();
    verbs.map(|verb| (verb.tag_name().name().to_owned(), text(verb))).collect()
}

fn assert_verbs(reply: &Reply, expected: &[(&str, &str)]) {
    let found = verbs(reply);
    let found: Vec<_> = found.iter().map(|(verb, text)| (verb.as_str(), text.as_str())).collect();
    assert_eq!(found, expected);
}

/// The prompt's document: where its keys go, and what it says.
pub(crate) fn gather(reply: &Reply) -> (String, Vec<String>) {
    let document = Document::parse(&reply.body).unwrap();
    let gather = document.descendants().find(|node| node.has_tag_name("Gather")).expect(&reply.body);
    let says = gather.children().filter(|node| node.has_tag_name("Say"));
    (gather.attribute("action").unwrap().to_owned(), says.map(|say| say.text().unwrap().to_owned()).collect())
}

pub(crate) fn twiml_url(fleet: &Fleet, key: &ChallengeKey) -> String {
    // As the carrier asks for it: the fragment is for the carrier alone.
    fleet.engine.links().twiml_url(key, 1).split('#').next().unwrap().to_owned()
}

pub(crate) fn status_url(fleet: &Fleet, key: &ChallengeKey) -> String {
    fleet.engine.links().status_url(key, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_confirmed_with_the_pound_key() {
    let fleet = Fleet::start().await;
    let key = fleet.dialing(None).await;
    let (twiml, status) = (twiml_url(&fleet, &key), status_url(&fleet, &key));

    for (word, progress) in [
        ("initiated", Progress::Dialing),
        ("ringing", Progress::Ringing),
        ("in-progress", Progress::Answered),
        ("ringing", Progress::Answered),
    ] {
        assert_eq!(fleet.call(&status, &[("CallStatus", word)]).await.status, 204);
        assert_eq!(fleet.stored(&key).await.progress(), progress, "{word}");
    }

    let first = fleet.call(&twiml, &[("CallStatus", "in-progress")]).await;
    let (input, said) = gather(&first);
    assert_eq!(
        said,
        [
            format!("This is the sign-in call of {TITLE}."),
            "Press the pound key to confirm.".into(),
            "If it is not you who signs in, press 0, then the pound key.".into(),
        ]
    );
    assert_eq!(input, fleet.engine.links().input_url(&key, 1, 1));
    assert_eq!(fleet.stored(&key).await.progress(), Progress::AwaitingInput);
    let version = fleet.stored(&key).await.version;
    assert_eq!(fleet.call(&twiml, &[]).await.body, first.body, "a repeated fetch asks the same");
    assert_eq!(fleet.stored(&key).await.version, version);

    let second = fleet.call(&input, &[("msg", "Gather End")]).await;
    let (next_input, _) = gather(&second);
    assert_eq!(next_input, fleet.engine.links().input_url(&key, 1, 2));
    let stale = fleet.call(&input, &[("Digits", ""), ("FinishedOnKey", "#")]).await;
    assert_eq!(stale.body, second.body, "an entry for the first prompt does not answer the second");
    assert!(fleet.stored(&key).await.is_open());

    let last = fleet.call(&next_input, &[("Digits", ""), ("FinishedOnKey", "#")]).await;
    let goodbye = [("Say", "Thank you. You are confirmed. Goodbye."), ("Hangup", "")];
    assert_verbs(&last, &goodbye);
    let approved = fleet.stored(&key).await;
    let end = approved.live.end.clone().unwrap();
    assert_eq!((end.reason, end.assurance), (Reason::OkKey, Some(Assurance::Key)));

    assert_verbs(&fleet.call(&next_input, &[("FinishedOnKey", "#")]).await, &goodbye);
    assert_verbs(&fleet.call(&twiml, &[]).await, HANG_UP);
    assert_eq!(fleet.stored(&key).await, approved, "what is replayed changes nothing");

    let completed = [("CallStatus", "completed"), ("CallDuration", "17"), ("SipResponseCode", "200")];
    for _ in 0..2 {
        assert_eq!(fleet.call(&status, &completed).await.status, 204);
    }
    let attempt = fleet.stored(&key).await.live.attempts[0].clone();
    assert_eq!((attempt.state, attempt.duration_s, attempt.sip), (AttemptState::Ended, Some(17), Some(200)));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_on_the_screen_approves_and_another_does_not() {
    let fleet = Fleet::start().await;
    let key = fleet.dialing(Some("42")).await;
    let (input, said) = gather(&fleet.call(&twiml_url(&fleet, &key), &[]).await);
    assert_eq!(said[1], "Enter the number on your screen, then press the pound key.");
    let (input, _) = gather(&fleet.call(&input, &[("Digits", "43"), ("FinishedOnKey", "#")]).await);
    let (input, _) = gather(&fleet.call(&input, &[("Digits", ""), ("FinishedOnKey", "#")]).await);
    assert_eq!(fleet.stored(&key).await.live.tries, 1);
    let last = fleet.call(&input, &[("Digits", "42"), ("FinishedOnKey", "#")]).await;
    assert_eq!(verbs(&last)[0].1, "Thank you. You are confirmed. Goodbye.");
    let end = fleet.stored(&key).await.live.end.unwrap();
    assert_eq!((end.reason, end.assurance), (Reason::OkNumberMatch, Some(Assurance::NumberMatch)));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_numbers_end_with_a_goodbye() {
    let fleet = Fleet::start().await;
    let key = fleet.dialing(Some("42")).await;
    let (mut input, _) = gather(&fleet.call(&twiml_url(&fleet, &key), &[]).await);
    for digits in ["41", "43"] {
        (input, _) = gather(&fleet.call(&input, &[("Digits", digits), ("FinishedOnKey", "#")]).await);
    }
    let last = fleet.call(&input, &[("Digits", "44"), ("FinishedOnKey", "#")]).await;
    let verbs = verbs(&last);
    assert_eq!(
        verbs[0].1,
        "That was not the number on your screen. If this is you, please sign in again. Goodbye."
    );
    assert_eq!(verbs.last().unwrap().0, "Hangup");
    assert_eq!(fleet.stored(&key).await.live.end.unwrap().reason, Reason::NumberMismatch);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_nobody_waits_for_is_hung_up() {
    let fleet = Fleet::start().await;
    let key = fleet.dialing(None).await;
    fleet.apply(&key, Event::Cancel).await;
    assert_verbs(&fleet.call(&twiml_url(&fleet, &key), &[]).await, HANG_UP);
    assert_eq!(fleet.stored(&key).await.live.attempts[0].sid.as_deref(), Some(SID), "the call is known now");
    let input = fleet.engine.links().input_url(&key, 1, 1);
    let last = fleet.call(&input, &[("FinishedOnKey", "#")]).await;
    assert_eq!(verbs(&last)[0].1, "This sign-in is over. There is nothing left to confirm. Goodbye.");
    assert_eq!(fleet.stored(&key).await.live.end.unwrap().reason, Reason::CallerCanceled);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v5_a_machine_is_not_spoken_to_and_the_next_step_follows() {
    let fleet = Fleet::start().await;
    let phone = crate::phone::Phone::new();
    let user = fleet.enroll("ada", &[&phone]).await;
    let mut last = None;
    for (answered_by, is_machine) in
        [("machine_start", true), ("fax", true), ("unknown", false), ("human", false)]
    {
        let key = fleet.challenge(&user, &[by(Channel::Voice), by(Channel::Push)], None).await;
        fleet.dial(&key).await;
        let first = fleet.call(&twiml_url(&fleet, &key), &[("AnsweredBy", answered_by)]).await;
        let attempt = fleet.stored(&key).await.live.attempts[0].clone();
        if is_machine {
            assert_verbs(&first, HANG_UP);
            assert_eq!(attempt.reason, Some(Reason::Voicemail), "{answered_by}");
            assert_eq!(fleet.stored(&key).await.progress(), Progress::FallingBack);
            last = Some(key);
        } else {
            assert_eq!(attempt.state, AttemptState::AwaitingInput, "{answered_by}");
            fleet.call(&status_url(&fleet, &key), &[("CallStatus", "completed")]).await;
        }
    }
    assert!(fleet.handed_over(Queue::PushSend, &last.unwrap()).await);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_call_than_the_attempts_own_changes_nothing() {
    let fleet = Fleet::start().await;
    let key = fleet.dialing(None).await;
    let (twiml, status) = (twiml_url(&fleet, &key), status_url(&fleet, &key));
    let (input, _) = gather(&fleet.call(&twiml, &[]).await);
    let before = fleet.stored(&key).await;
    let other = [
        ("CallSid", "CA0000000000000000000000000000000F"),
        ("CallStatus", "completed"),
        ("FinishedOnKey", "#"),
    ];
    assert_verbs(&fleet.carrier(&twiml, &other).await, HANG_UP);
    assert_verbs(&fleet.carrier(&input, &other).await, HANG_UP);
    assert_eq!(fleet.carrier(&status, &other).await.status, 204);
    assert_eq!(fleet.stored(&key).await, before);
    for route in ["twilio_call", "twilio_input", "twilio_status"] {
        let series = format!("mfa_gateway_without_effect_total{{reason=\"other_call\",route=\"{route}\"}}");
        assert_eq!(fleet.metric(&series), 1, "{route}");
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_comes_twice_late_or_for_nobody_is_no_content() {
    let fleet = Fleet::start().await;
    let key = fleet.dialing(None).await;
    let status = status_url(&fleet, &key);
    for word in ["in-progress", "in-progress", "ringing", "initiated", "queued", "warming-up"] {
        let reply = fleet.call(&status, &[("CallStatus", word)]).await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{word}");
    }
    assert_eq!(fleet.stored(&key).await.progress(), Progress::Answered);
    let unknown =
        ChallengeKey { id: fleet_domain::ChallengeId::from_parts(fleet.engine.now(), [9; 10]), ..key };
    let reply = fleet.call(&status_url(&fleet, &unknown), &[("CallStatus", "ringing")]).await;
    assert_eq!(reply.status, 204);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_failed_hands_the_next_step_over() {
    let fleet = Fleet::start().await;
    let phone = crate::phone::Phone::new();
    let user = fleet.enroll("ada", &[&phone]).await;
    let key = fleet.challenge(&user, &[by(Channel::Voice), by(Channel::Push)], None).await;
    fleet.dial(&key).await;
    let busy = [("CallStatus", "busy"), ("SipResponseCode", "486")];
    assert_eq!(fleet.call(&status_url(&fleet, &key), &busy).await.status, 204);
    assert_eq!(fleet.stored(&key).await.progress(), Progress::FallingBack);
    assert!(fleet.handed_over(Queue::PushSend, &key).await);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_forged_urls_are_refused_and_calls_are_held_and_then_hung_up() {
    let fleet = Fleet::without_database().await;
    let id = fleet_domain::ChallengeId::from_parts(fleet.engine.now(), [7; 10]);
    let key = ChallengeKey { id, portal: crate::support::portal() };
    let path = twiml_url(&fleet, &key).strip_prefix(PUBLIC_URL).unwrap().to_owned();
    let (_, token) = path.rsplit_once('/').unwrap();
    let forged = [
        path.replace(token, &token.replace(&token[..1], "x")),
        path.replace(token, ""),
        path.replace("/1/", "/2/"),
        path.replace("/1/", "/256/"),
        path.replace("/1/", "/-1/"),
        path.replace("operations", "Operations"),
        path.replace("operations", "op%ff"),
        path.replace(&id.to_string(), "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
    ];
    for forged in &forged {
        for suffix in ["", "/input/1", "/input/x", "/status"] {
            let reply = fleet.carrier(&format!("{PUBLIC_URL}{forged}{suffix}"), &[("CallSid", SID)]).await;
            assert_eq!((reply.status, reply.body.as_str()), (404, ""), "{forged}{suffix}");
        }
    }
    assert_eq!(fleet.stranger(&path).await.status, 403, "the token is right and the signature is missing");
    // The line is held five times, for what an outage may last, and then the call ends.
    let input = fleet.engine.links().input_url(&key, 1, 1);
    let mut url = twiml_url(&fleet, &key);
    assert_eq!(verbs(&fleet.call(&input, &[("FinishedOnKey", "#")]).await)[0].0, "Pause");
    for _ in 0..5 {
        let held = verbs(&fleet.call(&url, &[]).await);
        assert_eq!(held.iter().map(|(verb, _)| verb.as_str()).collect::<Vec<_>>(), ["Pause", "Redirect"]);
        url.clone_from(&held[1].1);
    }
    assert_verbs(&fleet.call(&url, &[]).await, HANG_UP);
    let status = fleet.call(&status_url(&fleet, &key), &[("CallStatus", "ringing")]).await;
    assert_eq!((status.status, status.header("cache-control")), (503, "no-store"));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_answer_is_not_there_in_time_is_held_and_never_hung_up_on() {
    let fleet = Fleet::start().await;
    let hurried = fleet.beside_with(&[("REQUEST_TIMEOUT", "200ms")]).await;
    let key = fleet.dialing(None).await;
    let (first, input) = (twiml_url(&fleet, &key), fleet.engine.links().input_url(&key, 1, 1));
    for (url, fields) in [(&first, &[][..]), (&input, &[("FinishedOnKey", "#")][..])] {
        // Longer than the request may take, and shorter than the database waits before it gives up.
        let held =
            fleet.scratch.as_ref().unwrap().hold("LOCK TABLE challenges IN ACCESS EXCLUSIVE MODE").await;
        let words = verbs(&hurried.call(url, fields).await);
        held.commit().await;
        assert_eq!(words.iter().map(|(verb, _)| verb.as_str()).collect::<Vec<_>>(), ["Pause", "Redirect"]);
        assert_eq!(verbs(&fleet.call(&first, &[]).await)[0].0, "Gather", "the same call is asked (again)");
    }
    assert_eq!(verbs(&fleet.call(&input, &[("FinishedOnKey", "#")]).await)[0].0, "Say");
    assert_eq!(fleet.stored(&key).await.result(), fleet_domain::ChallengeResult::Approved);
    hurried.end().await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_exact_signature_counts() {
    let fleet = Fleet::start().await;
    let key = fleet.dialing(None).await;
    let before = fleet.stored(&key).await;
    let url = format!("{}?a=%20b&c", twiml_url(&fleet, &key));
    let fields =
        [("CallSid", SID), ("CallStatus", "in-progress"), ("ToCity", "SÃO PAULO & CO"), ("ToZip", "")];
    let good = signature(&url, &fields);
    let mutated = (0..good.len()).flat_map(|at| {
        [1, 0x20].map(|bit| {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= bit;
            String::from_utf8(bytes).unwrap()
        })
    });
    let shortened = good[..good.len() - 1].to_owned();
    for bad in
        mutated.filter(|bad| bad.bytes().all(|b| b.is_ascii_graphic())).chain([shortened, String::new()])
    {
        let reply = fleet.carrier_signing(&url, &fields, &bad).await;
        assert_eq!((reply.status, reply.body.as_str()), (403, ""), "{bad}");
    }
    for (url, fields) in [
        (twiml_url(&fleet, &key), &fields[..]),
        (format!("{url}&d"), &fields[..]),
        (url.replace("%20", "+"), &fields[..]),
        (url.clone(), &fields[..3]),
        (url.clone(), &[fields[0], fields[1], fields[3], fields[2], ("Digits", "1")]),
        (url.clone(), &[("CallSid", "CA1"), fields[1], fields[2], fields[3]]),
    ] {
        assert_eq!(fleet.carrier_signing(&url, fields, &good).await.status, 403, "{url} {fields:?}");
    }
    assert_eq!(fleet.stored(&key).await, before);
    assert_eq!(fleet.carrier_signing(&url, &fields, &good).await.status, 200);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_a_call_or_beyond_the_limit_is_refused() {
    let fleet = Fleet::start().await;
    let key = fleet.dialing(None).await;
    let url = twiml_url(&fleet, &key);
    assert_eq!(fleet.carrier(&url, &[("CallStatus", "ringing")]).await.status, 400);
    let long = "x".repeat(10_000);
    assert_eq!(fleet.call(&url, &[("ToCity", &long)]).await.status, 413);
    assert_eq!(fleet.stored(&key).await.progress(), Progress::Dialing);
    fleet.end().await;
}
