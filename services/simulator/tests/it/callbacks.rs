//! What every request about a call says, and which SIP code ends it with which status.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;

use crate::customer::{Customer, Seen};
use crate::stage::{FROM, Stage};

const ALICE: &str = "+19195550101";
const COMMON: &str = "CallSid AccountSid ApiVersion From To Caller Called Direction CallStatus FromCity FromState FromZip \
    FromCountry ToCity ToState ToZip ToCountry CallerCity CallerState CallerZip CallerCountry CalledCity CalledState \
    CalledZip CalledCountry";
const PROGRESS: &str = "Timestamp CallbackSource SequenceNumber";
const STIR: &str = "StirStatus StirVerstat";
const VOICE: &str = "<Response><Gather action=\"/digits\"><Say>Press pound.</Say></Gather></Response>";
const BYE: &str = "<Response><Hangup/></Response>";

async fn stage(settings: &str) -> (Stage, Customer) {
    let customer = Customer::open(&[("/voice", VOICE), ("/digits", BYE)]).await;
    (Stage::set(settings, "").await, customer)
}

async fn script(stage: &Stage, mut person: serde_json::Value) {
    person["number"] = ALICE.into();
    assert_eq!(stage.control("people", &json!({ "person": [person] })).await, 204);
}

async fn call(stage: &Stage, customer: &mut Customer, extra: &[(&str, &str)]) -> Vec<Seen> {
    let (url, status) = (format!("{}/voice", customer.url), format!("{}/status", customer.url));
    let mut form = vec![("To", ALICE), ("From", FROM), ("Url", &*url), ("StatusCallback", &*status)];
    form.extend(
        ["initiated", "ringing", "answered", "completed"].map(|event| ("StatusCallbackEvent", event)),
    );
    form.extend_from_slice(extra);
    let (status, body) = stage.post("Calls.json", &form).await;
    assert_eq!(status, 201, "{body}");
    customer.until_the_end().await
}

fn names(seen: &Seen) -> BTreeSet<&str> {
    seen.form.keys().map(String::as_str).collect()
}

fn expected<'a>(parts: &[&'a str]) -> BTreeSet<&'a str> {
    parts.iter().flat_map(|part| part.split_whitespace()).collect()
}

#[tokio::test]
async fn each_request_has_the_parameters_of_its_kind_and_no_others() {
    let (stage, mut customer) = stage("").await;
    script(&stage, json!({ "presses": ["12#"] })).await;
    let seen = call(&stage, &mut customer, &[]).await;
    let find = |path: &str, status: &str| {
        seen.iter().find(|seen| seen.path == path && seen.field("CallStatus") == status).unwrap()
    };
    let table = [
        ("/status", "initiated", vec![COMMON, PROGRESS]),
        ("/status", "ringing", vec![COMMON, PROGRESS, STIR]),
        ("/status", "in-progress", vec![COMMON, PROGRESS, STIR]),
        ("/status", "completed", vec![COMMON, PROGRESS, "CallDuration Duration SipResponseCode"]),
        ("/voice", "in-progress", vec![COMMON]),
        ("/digits", "in-progress", vec![COMMON, "Digits FinishedOnKey msg"]),
    ];
    for (path, status, parts) in table {
        assert_eq!(names(find(path, status)), expected(&parts), "{path} {status}");
    }
    let sequence: Vec<_> = ["initiated", "ringing", "in-progress", "completed"]
        .map(|status| find("/status", status).field("SequenceNumber").to_owned())
        .into();
    assert_eq!(sequence, ["0", "1", "2", "3"]);
    for same in [("From", "Caller"), ("To", "Called"), ("FromCountry", "CallerCountry")] {
        assert_eq!(seen[0].field(same.0), seen[0].field(same.1));
    }
    assert_eq!((seen[0].field("ApiVersion"), seen[0].field("FromCity")), ("2010-04-01", ""));
}

#[tokio::test]
async fn who_answered_is_told_when_machine_detection_ran() {
    let (stage, mut customer) = stage("").await;
    let machine = json!({ "voicemail": true });
    let human = json!({ "presses": ["#"] });
    // the script, the parameters, who answered
    let table: [(_, &[_], _); 6] = [
        (&human, &[("MachineDetection", "Enable")], "human"),
        (&machine, &[("MachineDetection", "Enable")], "machine_start"),
        (&machine, &[("MachineDetection", "DetectMessageEnd")], "machine_end_beep"),
        (&machine, &[("MachineDetection", "DetectMessageEnd"), ("MachineDetectionTimeout", "5")], "unknown"),
        (&machine, &[("MachineDetection", "Enable"), ("SendDigits", "ww12#")], "(absent)"),
        (&machine, &[], "(absent)"),
    ];
    for (person, extra, who) in table {
        script(&stage, person.clone()).await;
        let seen = call(&stage, &mut customer, extra).await;
        let document = seen.iter().find(|seen| seen.path == "/voice").unwrap();
        assert_eq!(document.field("AnsweredBy"), who, "{extra:?}");
        assert_eq!(seen.last().unwrap().field("AnsweredBy"), who, "{extra:?}");
        let progress = seen.iter().filter(|seen| matches!(seen.field("CallStatus"), "initiated" | "ringing"));
        assert!(progress.into_iter().all(|seen| seen.field("AnsweredBy") == "(absent)"));
    }
    let sent = stage.facts("digits_sent").await;
    assert_eq!((sent.len(), &sent[0]["digits"]), (1, &"ww12#".into()));
}

#[tokio::test]
async fn asynchronous_machine_detection_reports_four_parameters_and_holds_nothing_up() {
    let (stage, mut customer) = stage("").await;
    script(&stage, json!({ "voicemail": true })).await;
    let report = format!("{}/answers/204", customer.url);
    let extra =
        [("MachineDetection", "Enable"), ("AsyncAmd", "true"), ("AsyncAmdStatusCallback", report.as_str())];
    let seen = call(&stage, &mut customer, &extra).await;
    let report = seen.iter().find(|seen| seen.path == "/answers/204").unwrap();
    assert_eq!(names(report), expected(&["CallSid AccountSid AnsweredBy MachineDetectionDuration"]));
    assert_eq!(
        (report.field("AnsweredBy"), report.field("MachineDetectionDuration")),
        ("machine_start", "4000")
    );
    let document = seen.iter().find(|seen| seen.path == "/voice").unwrap();
    assert_eq!(document.field("AnsweredBy"), "(absent)");
}

#[tokio::test]
async fn a_sip_code_ends_the_call_with_its_status() {
    let (stage, mut customer) = stage("").await;
    let table = [
        (486, "busy"),
        (600, "busy"),
        (487, "no-answer"),
        (603, "no-answer"),
        (480, "failed"),
        (404, "failed"),
        (403, "failed"),
        (433, "failed"),
        (484, "failed"),
        (503, "failed"),
        (607, "failed"),
        (608, "failed"),
    ];
    for (sip, status) in table {
        script(&stage, json!({ "fails": { "sip": sip } })).await;
        let seen = call(&stage, &mut customer, &[]).await;
        let last = seen.last().unwrap();
        assert_eq!((last.field("CallStatus"), last.field("SipResponseCode")), (status, &*sip.to_string()));
        assert_eq!(names(last), expected(&[COMMON, PROGRESS, "CallDuration SipResponseCode"]), "{sip}");
        assert_eq!(seen.len(), 2, "initiated and the end, no ringing: {sip}");
    }
}

#[tokio::test]
async fn with_a_shared_key_webhooks_are_signed_with_sha_256_and_say_so() {
    let (stage, mut customer) = stage("shared_key = \"a-secret-for-webhooks\"").await;
    script(&stage, json!({ "busy": true })).await;
    let seen = call(&stage, &mut customer, &[]).await;
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a-secret-for-webhooks");
    for seen in seen {
        assert!(seen.signature_settings.ends_with(",algorithm=HMAC_SHA256"), "{}", seen.signature_settings);
        let text = seen.form.iter().fold(seen.url.clone(), |text, (name, value)| text + name + value);
        assert_eq!(seen.signature, STANDARD.encode(hmac::sign(&key, text.as_bytes())));
        assert!(!seen.is_signed, "not with the auth token");
    }
}
