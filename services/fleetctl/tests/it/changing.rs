//! Changing an enrollment as help desk does, against the services that carry it out.

use std::process::Stdio;

use fleet_domain::UserId;
use fleet_testkit::unique_name;
use serde_json::Value;

use crate::desk::{Desk, policy};
use crate::support::{Ended, portal};

#[tokio::test(flavor = "multi_thread")]
async fn s31_help_desk_changes_a_user_and_is_told_what_became_of_it() {
    let desk = Desk::open(policy()).await;
    desk.change(&["alice", "block", "--reason", "stolen", "--for", "12h"], 0, "done ok").await;
    desk.change(&["alice", "unblock", "--reason", "found"], 0, "done ok").await;
    let bypass = ["alice", "bypass", "--seconds", "60", "--ticket", "HD-1", "--reason", "repair"];
    desk.change(&bypass, 0, "done ok").await;
    desk.change(&["nobody", "block", "--reason", "x"], 10, "data.user_id is no user of this portal").await;
    let wrong = ["alice", "phone_change", "--number", "+442079460000", "--reason", "moved"];
    desk.change(&wrong, 10, "destination_not_allowed").await;
    desk.change(&["alice", "bypass", "--reason", "repair"], 14, "data.seconds is required").await;
    desk.change(&["alice", "promote"], 64, "must be one of enroll").await;
    let portal = portal();
    let keyless =
        desk.keyless.run(&["user", "change", "alice", "unblock", "--portal", &portal, "--reason", "x"]).await;
    assert_eq!(keyless.code, Some(78), "{}", keyless.err);
    assert!(keyless.err.contains("ENROLLMENT_KEY is not set"), "{}", keyless.err);
    let acts =
        desk.assembly.engine.records().standing(&UserId::parse("alice").unwrap()).await.unwrap().unwrap();
    let actor = format!("operator {portal} at {portal}");
    assert!(acts.acts.iter().all(|act| act.actor == actor), "{acts:?}");
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_played_file_changes_enrollments_one_after_the_other_and_holds_their_ends_against_what_was_expected()
 {
    let desk = Desk::open(policy()).await;
    // The queues are there once this has gone through.
    desk.change(&["alice", "unblock", "--reason", "found"], 0, "done ok").await;
    let scenario = |title: &str, change: &str, with: &str, expect: &str| {
        format!(
            "[[scenario]]\ntitle = \"{title}\"\nportal = \"{}\"\nuser = \"alice\"\nchange = \"{change}\"\n\
             with = {{ actor = \"pat\", reason = \"played\"{with} }}\nexpect = {{ {expect} }}\n",
            portal(),
        )
    };
    let done = "result = \"done\", reason = \"ok\", authority = \"operator\"";
    let text = [
        scenario("block", "block", "", done),
        scenario("unblock", "unblock", "", done).replace("\nexpect", "\nafter = \"block\"\nexpect"),
        scenario(
            "abroad",
            "phone_change",
            ", number = \"+442079460000\"",
            "result = \"refused\", reason = \"destination_not_allowed\", rule = \"countries\"",
        ),
        scenario("gone", "delete", "", done).replace("\nexpect", "\nafter = \"unblock\"\nexpect"),
    ]
    .concat();
    let path = std::env::temp_dir().join(format!("{}.toml", unique_name("t")));
    for (text, code, line) in
        [(text.replace("alice", "nobody"), 1, "✗ expected done ok"), (text, 0, "4 of 4 as expected")]
    {
        std::fs::write(&path, text).unwrap();
        let played = desk.program.run(&["play", path.to_str().unwrap()]).await;
        assert_eq!(played.code, Some(code), "{}{}", played.out, played.err);
        assert!(played.out.contains(line), "{}", played.out);
    }
    let keyless = desk.keyless.run(&["play", path.to_str().unwrap()]).await;
    assert_eq!(keyless.code, Some(78), "{}", keyless.err);
    assert!(keyless.err.contains("ENROLLMENT_KEY is not set"), "{}", keyless.err);
    std::fs::remove_file(&path).unwrap();
    desk.close().await;
}

/// The outcome that the program has printed.
fn told(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap()
}

fn file(name: &str) -> String {
    std::env::temp_dir().join(unique_name(name)).to_str().unwrap().to_owned()
}

/// Runs `fleetctl user continue`, as soon as the request waits for that.
async fn goes_on(desk: &Desk, arguments: &[&str]) -> Ended {
    let portal = portal();
    let whole = [&["user", "continue"], arguments, &["--portal", &portal]].concat();
    for _ in 0..100 {
        let ended = desk.program.run(&whole).await;
        if ended.code != Some(14) {
            return ended;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{arguments:?} is never due")
}

/// The id of the challenge that waits in this device, and all that is shown of it.
async fn listed(desk: &Desk, state: &str) -> (String, String) {
    for _ in 0..100 {
        let list = desk.ends(&["app", "list", "--state", state], 0, "").await.out;
        if list.contains("asks for") {
            return (list.lines().next().unwrap().to_owned(), list);
        }
        assert_eq!(list, "nothing waits for an answer\n");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("nothing waits in the device")
}

#[tokio::test(flavor = "multi_thread")]
async fn s21_a_device_is_activated_tested_and_given_up_by_the_commands_that_are_named() {
    let desk = Desk::open(policy()).await;
    let begun =
        told(&desk.change(&["alice", "device_activate", "--reason", "asked", "--json"], 75, "").await);
    let (request, void) =
        (begun["request_id"].as_str().unwrap(), begun["activation"]["qr"].as_str().unwrap());
    let portal = portal();
    let early = ["user", "continue", request, "test", "--portal", &portal];
    desk.ends(&early, 14, "that is activate_device").await;
    let renewed = told(&goes_on(&desk, &[request, "activation", "--json"]).await);
    // A wrong device is let go by another code.
    let (qr, stranger) = (renewed["activation"]["qr"].as_str().unwrap(), &file("stranger"));
    desk.ends(&["app", "activate", qr, "--state", stranger], 0, "activated for alice").await;
    let not_due = ["user", "continue", request, "code", "--portal", &portal];
    desk.ends(&not_due, 14, "that is begin_test").await;
    let renewed = told(&goes_on(&desk, &[request, "activation", "--json"]).await);
    desk.ends(&["app", "list", "--state", stranger], 69, "unauthorized").await;
    std::fs::remove_file(stranger).unwrap();
    let codes = &renewed["activation"];
    let (code, url) = (codes["code"].as_str().unwrap(), codes["url"].as_str().unwrap());

    let state = &file("device");
    let of = ["--state", state];
    desk.ends(&[&["app", "activate", void], &of[..]].concat(), 66, "activation_expired").await;
    assert!(!std::path::Path::new(state).exists(), "a void code leaves no file");
    let activate = [&["app", "activate", code, "--url", url, "--name", "laptop"], &of[..]].concat();
    desk.ends(&activate, 0, "activated for alice at Help desk: device ").await;
    desk.ends(&activate, 65, "is a device already").await;

    let denied = async {
        let (id, shown) = listed(&desk, state).await;
        assert!(shown.contains("Help desk") && shown.contains("the test of an enrollment"), "{shown}");
        let deny = [&["app", "deny", &id, "--reason", "canceled"], &of[..]].concat();
        desk.ends(&deny, 0, "denied: user_canceled").await
    };
    let test = [request, "test", "--show", "47"];
    let (failed, denied) = tokio::join!(goes_on(&desk, &test), denied);
    assert!(denied.out.contains("the test of an enrollment"), "what it answers is shown: {}", denied.out);
    assert_eq!(failed.code, Some(75), "{}{}", failed.out, failed.err);
    let way_on = format!("fleetctl user continue {request} test --portal {portal}");
    assert!(failed.out.contains("test user_canceled") && failed.out.contains(&way_on), "{}", failed.out);

    passes_its_test(&desk, request, state).await;
    assert_eq!(goes_on(&desk, &[request, "cancel"]).await.code, Some(0), "an end that came first stands");

    desk.change(&["alice", "read", "--reason", "asked"], 0, "laptop").await;
    desk.ends(&[&["app", "list"], &of[..]].concat(), 0, "nothing waits").await;
    desk.ends(&[&["app", "revoke"], &of[..]].concat(), 0, "the device is given up").await;
    assert!(!std::path::Path::new(state).exists());
    desk.ends(&[&["app", "list"], &of[..]].concat(), 65, state).await;
    desk.close().await;
}

/// Answers the test of this request in this device with the number on the page, until it is done.
async fn passes_its_test(desk: &Desk, request: &str, state: &str) {
    let approved = async {
        let (id, _) = listed(desk, state).await;
        let approve = ["app", "approve", &id, "--uv", "pin", "--state", state];
        desk.ends(&approve, 14, "--number is required").await;
        desk.ends(&[&approve[..], &["--number", "47"]].concat(), 0, "approved: ok_push").await
    };
    let test = [request, "test", "--show", "47"];
    let (done, _) = tokio::join!(goes_on(desk, &test), approved);
    assert!(done.code == Some(0) && done.out.contains("done ok"), "{}{}", done.out, done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_by_code_goes_on_with_the_code_from_standard_input() {
    let desk = Desk::open(policy()).await;
    let device =
        told(&desk.change(&["alice", "device_activate", "--reason", "asked", "--json"], 75, "").await);
    let (request, qr) =
        (device["request_id"].as_str().unwrap(), device["activation"]["qr"].as_str().unwrap());
    let state = &file("device");
    desk.ends(&["app", "activate", qr, "--state", state], 0, "").await;
    passes_its_test(&desk, request, state).await;

    let change = ["alice", "method_change", "--method", "totp", "--reason", "asked"];
    let waits = desk.change(&change, 75, "next answer_test").await.out;
    let way_on = waits.lines().find(|line| line.contains("fleetctl user continue")).unwrap();
    let request = way_on.split_whitespace().nth(5).unwrap();
    assert!(way_on.contains(&format!("{request} code --portal")), "{waits}");
    let typed = async |line: &str| {
        let mut command = desk.program.command(&["user", "continue", request, "code", "--portal", &portal()]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), line.as_bytes()).unwrap();
        Ended::from(tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap())
    };
    let none = typed("no code\n").await;
    assert!(none.code == Some(65) && none.err.contains("must be 6 to 8 digits"), "{}", none.err);
    let shown = desk.ends(&["app", "code", "--state", state], 0, "").await.out;
    let right = shown.split_whitespace().next().unwrap();
    let wrong = typed(&format!("{:06}\n", (right.parse::<u32>().unwrap() + 1) % 1_000_000)).await;
    assert_eq!(wrong.code, Some(75), "{}{}", wrong.out, wrong.err);
    assert!(wrong.out.contains("wrong code"), "{}", wrong.out);
    let done = typed(&format!("{right}\n")).await;
    assert!(done.code == Some(0) && done.out.contains("done ok"), "{}{}", done.out, done.err);
    std::fs::remove_file(state).unwrap();
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_knows_is_told_as_such() {
    let desk = Desk::open(policy()).await;
    let unknown = ["user", "continue", "0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b", "cancel", "--portal"];
    desk.ends(&[&unknown[..], &[&portal()]].concat(), 66, "nothing is known of a request").await;
    desk.close().await;
}
