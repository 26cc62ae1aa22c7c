//! What a portal learns of an outcome, and what it does not believe.

use std::{process::Command, time::Duration};

use fleet_domain::{ChallengeId, PortalName};
use fleet_outcomes::Told;
use fleet_portal_client::{Error, Outcome, PortalClient, Watch};
use fleet_testkit::{redis_url, unique_name};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::support::{PATIENCE, Stage, approved, pending, portal_name, told};

async fn next(watch: &mut Watch) -> Option<Result<Outcome, Error>> {
    timeout(PATIENCE, watch.next()).await.expect("nothing came")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_watched_up_to_the_end() {
    let stage = Stage::set();
    let id = stage.new_id();
    assert_eq!(stage.portal.outcome(id).await.unwrap(), None);
    let mut watch = stage.portal.watch(id);
    for outcome in [pending(id, 1), pending(id, 3)] {
        stage.tell(&outcome).await;
        assert_eq!(next(&mut watch).await.unwrap().unwrap(), outcome);
    }
    stage.tell(&pending(id, 2)).await;
    let end = approved(id, 4);
    stage.tell(&end).await;
    assert_eq!(next(&mut watch).await.unwrap().unwrap(), end);
    assert!(next(&mut watch).await.is_none());
    drop(watch);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_came_before_the_watch_is_seen() {
    let stage = Stage::set();
    let end = approved(stage.new_id(), 4);
    stage.tell(&end).await;
    let portal = PortalClient::connect(&stage.settings).unwrap();
    let watch = portal.watch(end.challenge_id).into_stream();
    // What watches keeps the connections.
    drop(portal);
    let seen: Vec<_> = timeout(PATIENCE, watch.map(Result::unwrap).collect()).await.unwrap();
    assert_eq!(seen, [end]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_gives_the_end_alone() {
    let stage = Stage::set();
    let end = approved(stage.new_id(), 2);
    let (waited, ()) = tokio::join!(stage.portal.wait(end.challenge_id, PATIENCE), async {
        stage.tell(&pending(end.challenge_id, 1)).await;
        stage.tell(&end).await;
    });
    assert_eq!(waited.unwrap(), end);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_does_not_come_is_no_approval() {
    let stage = Stage::set();
    let id = stage.new_id();
    stage.tell(&pending(id, 1)).await;
    for id in [id, stage.new_id()] {
        let end = stage.portal.wait(id, Duration::from_millis(300)).await;
        assert!(matches!(end, Err(Error::Unanswered)), "{end:?}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_the_fleet_did_not_sign_for_this_challenge_is_forged() {
    type Forge = fn(&Outcome) -> Told;
    let stage = Stage::set();
    let forger = stage.forger();
    let forgeries: [(&str, Forge); 4] = [
        ("signed by another key", |wanted| told(wanted)),
        ("not signed", |wanted| Told { terminal: false, ..told(wanted) }),
        ("another challenge's", |wanted| {
            let genuine = approved(ChallengeId::from_parts(wanted.answer_by, [7; 10]), 9);
            Told { subject: wanted.challenge_id.into(), ..told(&genuine) }
        }),
        ("another portal's", |wanted| {
            let genuine = Outcome { portal: PortalName::parse("other").unwrap(), ..wanted.clone() };
            Told { portal: portal_name(), ..told(&genuine) }
        }),
    ];
    for (index, (case, forge)) in forgeries.into_iter().enumerate() {
        let wanted = approved(stage.new_id(), 9);
        let hand = if index == 0 { &forger } else { &stage.outcomes };
        hand.tell(forge(&wanted)).await.unwrap();
        let end = stage.portal.wait(wanted.challenge_id, PATIENCE).await;
        assert!(matches!(end, Err(Error::Forged(_))), "{case}: {end:?}");
        let read = stage.portal.outcome(wanted.challenge_id).await;
        assert!(matches!(read, Err(Error::Forged(_))), "{case}: {read:?}");
    }
    // Its tasks must not end before the stop.
    stage.context.stop.request_soft();
    drop(forger);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_that_may_not_listen_looks_up_every_change() {
    let (url, user) = (redis_url(), unique_name("user"));
    let acl = |words: &[&str]| {
        let done = Command::new("redis-cli").args(["-u", &url, "ACL"]).args(words).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    acl(&["SETUSER", &user, "on", ">pass", "~*", "resetchannels", "-@all", "+mget", "+ping"]);
    let (_, host) = url.rsplit_once('@').unwrap_or_else(|| url.split_once("//").unwrap());
    let stage = Stage::with_redis(&format!("redis://{user}:pass@{host}"));
    let id = stage.new_id();
    let mut watch = stage.portal.watch(id);
    for outcome in [pending(id, 1), pending(id, 2), approved(id, 3)] {
        stage.tell(&outcome).await;
        assert_eq!(next(&mut watch).await.unwrap().unwrap(), outcome);
    }
    drop(watch);
    acl(&["DELUSER", &user]);
    stage.end().await;
}
