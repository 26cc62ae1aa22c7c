//! What Redis lost or refused is there again: Redis is a view.

use std::fmt::Write as _;
use std::time::Duration;

use fleet_domain::ChallengeKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{ALL, World, until};

/// Deletes every key like the argument.
const EMPTY: &str =
    "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end return 1";
const ANN: &str = "+19195550161";

fn people() -> String {
    format!(
        "[[person]]\nname = \"ann\"\nnumber = \"{ANN}\"\nanswers = {{ after = \"2s\" }}\npresses = [\"#\"]\n"
    )
}

/// Runs one command and gives the first line of the answer.
async fn redis(command: &[&str]) -> String {
    let url = fleet_testkit::redis_url();
    let (login, server) = url.strip_prefix("redis://").unwrap().rsplit_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let mut stream = TcpStream::connect(server.split('/').next().unwrap()).await.unwrap();
    let mut answer = String::new();
    for words in [&["AUTH", user, password][..], command] {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            write!(text, "${}\r\n{word}\r\n", word.len()).unwrap();
        }
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await.unwrap();
        answer = String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default().to_owned();
        assert!(!answer.starts_with('-'), "{answer}");
    }
    answer
}

fn prefix(world: &World) -> &str {
    let named = world.environment.iter().find(|(name, _)| name == "FLEET_OUTCOMES__KEY_PREFIX");
    &named.unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn when_redis_comes_back_empty_every_outcome_still_to_be_collected_is_there_again() {
    let world = World::new(&people()).await;
    let ann = world.caller("ann", ANN).await;
    let running = world.start(&ALL).await;
    let mut before = Vec::new();
    for _ in 0..3 {
        before.push(world.challenge(&ann).await);
    }
    redis(&["EVAL", EMPTY, "0", &format!("{}:*", prefix(&world))]).await;
    for outcome in before {
        let again = world.portal.wait(outcome.challenge_id, Duration::from_secs(5)).await.unwrap();
        assert_eq!((again.result, again.reason), (outcome.result, outcome.reason));
        // Late facts of the call may have come meanwhile.
        assert!(again.seq >= outcome.seq);
    }
    until("the retelling", || async { running.count("mfa_swept_total", &["what=\"lost\""]) >= 3 }).await;
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_redis_refused_is_told_as_soon_as_it_is_taken() {
    let world = World::new(&people()).await;
    let ann = world.caller("ann", ANN).await;
    let running = world.start(&ALL).await;
    let draft = world.portal.draft(ann);
    let key = format!("{}:outcome:{}:{{{}}}", prefix(&world), crate::world::PORTAL, draft.id());
    // Of another kind than the script expects: each telling of it fails.
    redis(&["LPUSH", &key, "in the way"]).await;
    let id = world.ask(&draft).await;
    let portal = fleet_domain::PortalName::parse(crate::world::PORTAL).unwrap();
    let row = ChallengeKey { id, portal };
    until("the end", || async {
        matches!(world.records.load(&row).await, Ok(Some(stored)) if !stored.challenge.is_open())
    })
    .await;
    // Told by whoever ended it, by the sweep, and again: all in vain.
    until("three failures", || async {
        running.count("mfa_outcomes_told_total", &["result=\"failed\""]) >= 8
    })
    .await;
    redis(&["DEL", &key]).await;
    let outcome = world.portal.wait(id, Duration::from_secs(10)).await.unwrap();
    assert!(outcome.reason.is_some());
    until("the mark", || async {
        matches!(world.records.load(&row).await, Ok(Some(stored)) if stored.told == stored.challenge.version)
    })
    .await;
    assert!(running.stop().await);
}
