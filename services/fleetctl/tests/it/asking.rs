//! Acting as a portal.

use crate::support::{Fleet, Program, portal};

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_challenge_ends_with_the_code_of_its_result() {
    let fleet = Fleet::start().await;
    let program = fleet.program();
    let portal = portal();
    for (reason, code, result) in [
        ("ok_key", 0, "approved"),
        ("hung_up", 10, "denied"),
        ("no_response", 11, "expired"),
        ("caller_canceled", 12, "canceled"),
        ("busy", 13, "failed"),
    ] {
        let watched = program
            .run(&["challenge", "--portal", &portal, "--user", reason, "--method", "voice", "--watch"])
            .await;
        assert_eq!(watched.code, Some(code), "{}{}", watched.out, watched.err);
        assert!(watched.out.contains(&format!("{result} {reason}")), "{}", watched.out);
        assert!(!watched.out.contains('\x1b'), "colours only on a terminal");
        let json = program.run(&["challenge", "--portal", &portal, "--user", reason, "--json"]).await;
        assert_eq!(json.code, Some(code), "{}", json.err);
        let document: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((&document["result"], &document["reason"]), (&result.into(), &reason.into()));
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_is_not_watched_prints_its_id_which_outcome_and_cancel_take() {
    let fleet = Fleet::start().await;
    let (program, portal) = (fleet.program(), portal());
    let asked = program.run(&["challenge", "--portal", &portal, "--user", "nobody-ends-this"]).await;
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    let id = asked.out.trim();
    // The fleet may need a moment.
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    let outcome = loop {
        tick.tick().await;
        let outcome = program.run(&["outcome", "--portal", &portal, id]).await;
        if outcome.code != Some(66) {
            break outcome;
        }
    };
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(75), "result     pending\n"), "{}", outcome.err);
    // A call has nothing to be sent once more: nothing happens, and that is no error.
    let resent = program.run(&["resend", "--portal", &portal, id]).await;
    assert_eq!((resent.code, resent.out.as_str()), (Some(0), ""), "{}", resent.err);
    let canceled = program.run(&["cancel", "--portal", &portal, id]).await;
    assert_eq!(canceled.code, Some(0), "{}", canceled.err);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_played_file_is_held_against_what_was_expected() {
    let fleet = Fleet::start().await;
    let (program, portal) = (fleet.program(), portal());
    let path = std::env::temp_dir().join(format!("{}.toml", fleet.namespace));
    let scenario = |user: &str, result: &str, reason: &str| {
        format!(
            "[[scenario]]\ntitle = \"{user}\"\nportal = \"{portal}\"\nuser = \"{user}\"\nmethod = \"voice\"\n\
             expect = {{ result = \"{result}\", reason = \"{reason}\" }}\n"
        )
    };
    let good = [scenario("ok_key", "approved", "ok_key"), scenario("busy", "failed", "busy")].concat();
    let bad = [good.clone(), scenario("hung_up", "approved", "ok_key")].concat();
    for (text, code, line, mark) in
        [(good, 0, "2 of 2 as expected", "✓"), (bad, 1, "2 of 3 as expected", "✗ expected approved ok_key")]
    {
        std::fs::write(&path, text).unwrap();
        let played = program.run(&["play", path.to_str().unwrap()]).await;
        assert_eq!(played.code, Some(code), "{}{}", played.out, played.err);
        assert!(played.out.contains(line) && played.out.contains(mark), "{}", played.out);
        assert!(played.out.contains("failed busy"), "the steps are shown:\n{}", played.out);
    }
    std::fs::remove_file(&path).unwrap();
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_contract_is_refused_before_it_is_sent() {
    let program = Program::with(&[("PORTAL_AMQP_URLS", "vpn=amqp://vpn:secret@127.0.0.1:1/%2f")]);
    let refused =
        program.run(&["challenge", "--portal", "vpn", "--user", "alice", "--locale", "not a locale"]).await;
    assert_eq!(refused.code, Some(14));
    assert!(refused.err.starts_with("fleetctl: refused: data.locale must be "), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_without_an_address_or_with_another_user_is_told_which_setting_to_change() {
    let nobody = Program::with(&[]).run(&["challenge", "--portal", "vpn", "--user", "alice"]).await;
    assert_eq!(nobody.code, Some(78));
    assert!(nobody.err.contains("PORTAL_AMQP_URLS has no address for portal vpn"), "{}", nobody.err);
    let url = "amqp://fleet:secret@127.0.0.1:1/%2f";
    let other =
        Program::with(&[]).run(&["challenge", "--portal", "vpn", "--user", "alice", "--amqp-url", url]).await;
    assert_eq!(other.code, Some(78));
    assert!(other.err.contains("URIs of the user vpn") && !other.err.contains("secret"), "{}", other.err);
}
