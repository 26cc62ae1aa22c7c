//! Looking into a fleet, and preparing one.

use std::io::Read;
use std::process::Stdio;

use fleet_records::testing::Scratch;
use fleet_testkit::database_url;

use crate::support::{Fleet, Program};

const PEOPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ops/demo-data/people.toml");
const ID: &str = "0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b";

/// The lines of `fleetctl keys` as an environment.
pub(crate) async fn keys() -> Vec<(String, String)> {
    let printed = Program::with(&[]).run(&["keys"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let lines = printed.out.lines().map(|line| line.split_once('=').unwrap());
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_other_keys_each_time() {
    let (one, other) = (keys().await, keys().await);
    let names: Vec<&str> = one.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["FLEET_KEYS__MASTER", "FLEET_KEYS__OUTCOME_SIGNING_KEY", "FLEET_ENROLLMENT_KEYS__CURRENT"]
    );
    assert!(one.iter().zip(&other).all(|(one, other)| one.1 != other.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_migrated_once_and_loaded_with_people() {
    let scratch = Scratch::new().await;
    let schema = format!("{}_new", scratch.settings().schema);
    let (url, mut environment) = (database_url(), keys().await);
    environment.extend(
        [("DATABASE_URL", url.as_str()), ("FLEET_RECORDS__SCHEMA", schema.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let pairs: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let program = Program::with(&pairs);
    let first = program.run(&["migrate"]).await;
    assert!(first.code == Some(0) && first.out.starts_with("applied "), "{}{}", first.out, first.err);
    let again = program.run(&["migrate"]).await;
    assert_eq!((again.code, again.out.as_str()), (Some(0), "nothing to apply: the tables are up to date\n"));
    for _ in 0..2 {
        let loaded = program.run(&["demo-data", PEOPLE]).await;
        assert_eq!(loaded.code, Some(0), "{}", loaded.err);
        assert!(loaded.out.starts_with("loaded 4 portals and "), "{}", loaded.out);
    }
    let portals = scratch.sql(&format!("SELECT name FROM {schema}.portals ORDER BY 1")).await;
    assert_eq!(portals, ["helpdesk", "operations", "provider", "recipients"]);
    let unknown = program.run(&["history", "--portal", "operations", ID]).await;
    assert_eq!(unknown.code, Some(66), "{}", unknown.err);
    assert!(unknown.err.contains(&format!("there is no challenge operations/{ID}")), "{}", unknown.err);
    a_help_desk_is_heard(&program).await;
    scratch.sql(&format!("DROP SCHEMA {schema} CASCADE")).await;
}

/// Neither RabbitMQ nor Redis is there: what is done is done in PostgreSQL.
async fn a_help_desk_is_heard(program: &Program) {
    let login = std::process::id().to_string();
    for (arguments, code, part) in [
        (&["user", "show", "wendy"][..], 0, "wendy is blocked until it is lifted"),
        (
            &["user", "unblock", "wendy", "--reason", "a mistake"],
            0,
            "wendy is neither blocked nor locked out",
        ),
        (&["user", "show", "wendy"], 0, "a mistake"),
        (
            &["user", "block", "alice", "--reason", &login, "--for", "12h"],
            0,
            "alice is blocked; 0 open challenges",
        ),
        (&["user", "show", "alice"], 0, &login),
        (&["user", "show", "peggy"], 0, "a PIN is set"),
        (&["user", "block", "oscar", "--reason", "x"], 66, "there is no user oscar"),
        (&["user", "unblock", "oscar", "--reason", "x"], 66, "there is no user oscar"),
        (&["phone", "opt-in", "+19195550118", "--reason", "x"], 66, "+1919*****18 is not opted out"),
        (&["user", "block", "alice", "--reason", " "], 64, "1 to 200 characters"),
    ] {
        let ended = program.run(arguments).await;
        let told = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_and_dead_letters_are_shown() {
    let fleet = Fleet::start().await;
    let program = fleet.program();
    let queues = program.run(&["queues"]).await;
    assert_eq!(queues.code, Some(0), "{}", queues.err);
    let row = |name: &str| queues.out.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let numbers = |name: &str| row(name).split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(numbers("challenge.default"), ["0", "1"]);
    assert_eq!(numbers("voice.dial"), ["0", "0"]);
    let dead = program.run(&["dead", "list"]).await;
    assert_eq!((dead.code, dead.out.as_str()), (Some(0), "no message was given up\n"), "{}", dead.err);
    let missing = program.run(&["dead", "show", "0193"]).await;
    assert_eq!(missing.code, Some(66));
    assert!(missing.err.contains("no message 0193 was given up"), "{}", missing.err);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_named_with_its_variable_in_one_line() {
    let keys = keys().await;
    let mut environment = vec![
        ("AMQP_URL", "amqp://fleet:secret@127.0.0.1:1/%2f"),
        ("REDIS_URL", "redis://fleet:secret@127.0.0.1:1/0"),
        ("DATABASE_URL", "postgresql://fleet:secret@127.0.0.1:1/fleet"),
        ("PORTAL_AMQP_URLS", "vpn=amqp://vpn:secret@127.0.0.1:1/%2f"),
    ];
    environment.extend(keys.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let program = Program::with(&environment);
    for (arguments, server, variable) in [
        (&["queues"][..], "RabbitMQ", "AMQP_URL"),
        (&["migrate"], "PostgreSQL", "DATABASE_URL"),
        (&["demo-data", PEOPLE], "PostgreSQL", "DATABASE_URL"),
        (&["outcome", "--portal", "vpn", ID], "Redis", "REDIS_URL"),
        (&["challenge", "--portal", "vpn", "--user", "alice"], "RabbitMQ", "PORTAL_AMQP_URLS"),
    ] {
        let ended = program.run(arguments).await;
        assert_eq!(ended.code, Some(69), "{arguments:?}: {}", ended.err);
        assert!(ended.err.starts_with(&format!("fleetctl: {server}: ")), "{arguments:?}: {}", ended.err);
        assert!(
            ended.err.contains(variable) && !ended.err.contains("secret"),
            "{arguments:?}: {}",
            ended.err
        );
        assert_eq!((ended.err.lines().count(), ended.out.as_str()), (1, ""), "{arguments:?}: {}", ended.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_asked_for_only_by_the_commands_that_need_them() {
    let program = Program::with(&[("DATABASE_URL", "postgresql://fleet@127.0.0.1:1/fleet")]);
    let history = program.run(&["history", "--portal", "vpn", ID]).await;
    assert_eq!(history.code, Some(78));
    assert!(history.err.trim_end().ends_with("set FLEET_KEYS__MASTER"), "{}", history.err);
    assert_eq!(program.run(&["migrate"]).await.code, Some(69));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_and_help_have_the_codes_of_their_kind() {
    let program = Program::with(&[]);
    for (arguments, code) in [
        (&["challenge", "--user", "alice", "--method", "sms"][..], 64),
        (&["challenge", "--user", "a b"], 64),
        (&["outcome", "--portal", "vpn", "1"], 64),
        (&["play", "nowhere.toml", "--speed", "0"], 64),
        (&["--help"], 0),
        (&["help", "play"], 0),
        (&["--version"], 0),
    ] {
        assert_eq!(program.run(arguments).await.code, Some(code), "{arguments:?}");
    }
    let missing = program.run(&["play", "nowhere.toml"]).await;
    assert_eq!(missing.code, Some(65));
    assert!(missing.err.starts_with("fleetctl: nowhere.toml: cannot be read"), "{}", missing.err);
}

#[test]
fn a_closed_pipe_ends_it_without_a_word() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Program::with(&[]).command(&["keys"]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
