//! A portal's side, with a Redis user that can reach its own keys and nothing else.

use fleet_domain::{ChallengeId, PortalName};
use fleet_lifecycle::{Stop, Tasks};
use fleet_outcomes::{Error, Notice, Notices, SignedDocument, Told, Watcher};
use fleet_testkit::redis_url;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use crate::support::{Fleet, PATIENCE, ask, new_id, portal, raw, settings, terminal, told, until, user};

/// A portal beside the fleet.
struct Portal {
    fleet: Fleet,
    watcher: Watcher,
    redis: redis::aio::MultiplexedConnection,
    user: String,
    stop: Stop,
    tasks: Tasks,
}

impl Portal {
    /// The portal `vpn`, under the rules that operations give to a portal.
    async fn start() -> Self {
        let fleet = Fleet::start();
        let mut redis = raw(&redis_url()).await;
        let prefix = &fleet.settings.key_prefix;
        let rules = format!(
            "~{prefix}:outcome:vpn:* resetchannels &{prefix}:outcome:vpn:* -@all +get +mget +subscribe +unsubscribe +ping"
        );
        let (user, url) = user(&mut redis, &rules).await;
        let mut own = settings(&url);
        own.key_prefix.clone_from(prefix);
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        let watcher = Watcher::start(&own, &tasks).unwrap();
        Self { fleet, watcher, redis, user, stop, tasks }
    }

    async fn end(mut self) {
        ask::<()>(&mut self.redis, &format!("ACL DELUSER {}", self.user)).await;
        self.stop.request_soft();
        drop(self.watcher);
        assert!(self.tasks.wait(PATIENCE).await, "a task did not end");
        assert!(!self.tasks.any_failed());
        self.fleet.end().await;
    }

    async fn listen(&self, id: ChallengeId) -> Notices {
        let mut notices = self.watcher.subscribe(&portal(), id);
        assert_eq!(next(&mut notices).await, Some(Notice::Listening));
        notices
    }
}

async fn next(notices: &mut Notices) -> Option<Notice> {
    timeout(PATIENCE, notices.next()).await.expect("no notice came")
}

fn stranger() -> PortalName {
    PortalName::parse("vpn2").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_reads_its_own_outcomes_and_nobody_elses() {
    let portal_side = Portal::start().await;
    let (id, theirs) = (new_id(), new_id());
    assert_eq!(portal_side.watcher.get(&portal(), id).await, Ok(None));
    portal_side.fleet.outcomes.tell(terminal(id, 3)).await.unwrap();
    portal_side.fleet.outcomes.tell(Told { portal: stranger(), ..terminal(theirs, 3) }).await.unwrap();
    let read = portal_side.watcher.get(&portal(), id).await.unwrap().unwrap();
    assert_eq!(Some(read), portal_side.fleet.outcomes.get(&portal(), id).await.unwrap());
    let refused = Error::Refused { code: "NOPERM".to_owned() };
    assert_eq!(portal_side.watcher.get(&stranger(), theirs).await, Err(refused.clone()));
    let mut listening = portal_side.watcher.subscribe(&stranger(), theirs);
    assert_eq!(next(&mut listening).await, Some(Notice::Refused(refused)));
    assert_eq!(next(&mut listening).await, None);
    portal_side.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_channel_does_not_disturb_those_asked_for_with_it() {
    let portal_side = Portal::start().await;
    let own: Vec<_> = (0..20).map(|_| portal_side.watcher.subscribe(&portal(), new_id())).collect();
    let mut theirs = portal_side.watcher.subscribe(&stranger(), new_id());
    assert!(matches!(next(&mut theirs).await, Some(Notice::Refused(_))));
    for mut notices in own {
        assert_eq!(next(&mut notices).await, Some(Notice::Listening));
    }
    portal_side.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_hears_every_document_of_its_challenge() {
    let portal_side = Portal::start().await;
    let (one, other) = (new_id(), new_id());
    let mut listeners = [portal_side.listen(one).await, portal_side.listen(one).await];
    let mut elsewhere = portal_side.listen(other).await;
    for document in [told(one, 1), told(other, 7), told(one, 2), terminal(one, 3)] {
        portal_side.fleet.outcomes.tell(document).await.unwrap();
    }
    for notices in &mut listeners {
        for document in [told(one, 1), told(one, 2), terminal(one, 3)] {
            assert_eq!(next(notices).await, Some(Notice::Document(document.json)));
        }
    }
    assert_eq!(next(&mut elsewhere).await, Some(Notice::Document(told(other, 7).json)));
    portal_side.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listening_again_is_said_after_a_lost_connection_so_that_nothing_is_missed() {
    let mut portal_side = Portal::start().await;
    let id = new_id();
    let mut notices = portal_side.listen(id).await;
    for seq in 1..=3 {
        let kill = format!("CLIENT KILL USER {}", portal_side.user);
        ask::<()>(&mut portal_side.redis, &kill).await;
        assert_eq!(next(&mut notices).await, Some(Notice::Listening));
        portal_side.fleet.outcomes.tell(told(id, seq)).await.unwrap();
        assert_eq!(next(&mut notices).await, Some(Notice::Document(told(id, seq).json)));
        // Its connection for reading was killed too, and may be noticed later.
        let mut read = portal_side.watcher.get(&portal(), id).await;
        let began = Instant::now();
        while read.is_err() && began.elapsed() < PATIENCE {
            tokio::task::yield_now().await;
            read = portal_side.watcher.get(&portal(), id).await;
        }
        assert_eq!(read.unwrap(), Some(SignedDocument { json: told(id, seq).json, signature: None }));
    }
    portal_side.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_stream_ends_its_subscription_and_no_other() {
    let mut portal_side = Portal::start().await;
    let id = new_id();
    let count = format!("PUBSUB NUMSUB {}", portal_side.fleet.key(&portal(), id));
    let (first, mut second) = (portal_side.listen(id).await, portal_side.listen(id).await);
    drop(first);
    portal_side.fleet.outcomes.tell(told(id, 1)).await.unwrap();
    assert_eq!(next(&mut second).await, Some(Notice::Document(told(id, 1).json)));
    drop(second);
    until("nobody subscribes", async || ask::<(String, u64)>(&mut portal_side.redis, &count).await.1 == 0)
        .await;
    let mut third = portal_side.listen(id).await;
    portal_side.fleet.outcomes.tell(told(id, 2)).await.unwrap();
    assert_eq!(next(&mut third).await, Some(Notice::Document(told(id, 2).json)));
    portal_side.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_challenges_are_listened_to_on_one_connection() {
    let mut portal_side = Portal::start().await;
    let ids: Vec<_> = (0..2000).map(|_| new_id()).collect();
    let mut listeners: Vec<_> = ids.iter().map(|&id| portal_side.watcher.subscribe(&portal(), id)).collect();
    for round in 0..2 {
        for notices in &mut listeners {
            assert_eq!(next(notices).await, Some(Notice::Listening));
        }
        let tells = ids.iter().map(|&id| portal_side.fleet.outcomes.tell(told(id, round + 1)));
        assert!(futures_util::future::join_all(tells).await.iter().all(Result::is_ok));
        for (notices, &id) in listeners.iter_mut().zip(&ids) {
            assert_eq!(next(notices).await, Some(Notice::Document(told(id, round + 1).json)));
        }
        let list: String = ask(&mut portal_side.redis, "CLIENT LIST TYPE pubsub").await;
        let own = list.lines().filter(|line| line.contains(&format!("user={} ", portal_side.user))).count();
        assert_eq!(own, 1);
        if round == 0 {
            let kill = format!("CLIENT KILL USER {}", portal_side.user);
            ask::<()>(&mut portal_side.redis, &kill).await;
        }
    }
    portal_side.end().await;
}
