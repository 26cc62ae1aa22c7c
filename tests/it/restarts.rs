//! Rolling restarts under load: nothing lost, nothing late, no phone rings twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use fleet_domain::Reason;
use futures_util::{StreamExt as _, stream};

use crate::world::{Service, World};

/// Challenges, half by phone and half by push.
const COUNT: u64 = 1_000;
/// Each is over by its deadline, two minutes after it was asked for.
const PATIENCE: Duration = Duration::from_secs(125);
const RESTART_EVERY: Duration = Duration::from_secs(5);

fn number(index: u64) -> String {
    format!("+1919556{index:04}")
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_thousand_challenges_survive_restarts_of_the_workers_every_five_seconds() {
    let mut people = String::new();
    for index in 0..COUNT / 2 {
        let number = number(index);
        write!(people, "[[person]]\nname = \"{index}\"\nnumber = \"{number}\"\nanswers = {{ after = \"20s\" }}\npresses = [\"#\"]\n").unwrap();
    }
    let world = World::new(&people).await;
    let mut users = Vec::new();
    for index in 0..COUNT / 2 {
        users.push(world.caller(&format!("caller-{index}"), &number(index)).await);
        let device = format!("00000000-0000-8000-8000-{index:012x}");
        users.push(world.app_user(&format!("app-{index}"), &[(&device, &format!("swarm-{index}"))]).await);
    }
    // Two of each worker, restarted in turn, and a gateway that stays.
    let gateway = world.start(&[Service::Gateway]).await;
    let mut older = world.start(&[Service::Voice, Service::Push]).await;
    let mut newer = world.start(&[Service::Voice, Service::Push]).await;
    let drafts: Vec<_> = users.iter().map(|user| world.portal.draft(user.clone())).collect();
    let asking = stream::iter(&drafts).for_each_concurrent(20, |draft| async {
        world.ask(draft).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    });
    let restarting = async {
        for _ in 0..4 {
            tokio::time::sleep(RESTART_EVERY).await;
            assert!(older.stop().await, "a soft stop ends within its time");
            older = newer;
            newer = world.start(&[Service::Voice, Service::Push]).await;
        }
        (older, newer)
    };
    let ((), (older, newer)) = tokio::join!(asking, restarting);
    let mut reasons: BTreeMap<Reason, u64> = BTreeMap::new();
    for draft in &drafts {
        let outcome = world
            .portal
            .wait(draft.id(), PATIENCE)
            .await
            .unwrap_or_else(|e| panic!("lost {}: {e}", draft.id()));
        *reasons.entry(outcome.reason.unwrap()).or_default() += 1;
        let ended_at =
            outcome.attempts.iter().filter_map(|attempt| attempt.ended_at.or(attempt.answered_at)).max();
        assert!(
            ended_at.is_none_or(|at| at <= outcome.answer_by.plus(Duration::from_secs(1))),
            "late: {outcome:?}"
        );
    }
    assert_eq!(reasons, BTreeMap::from([(Reason::OkKey, COUNT / 2), (Reason::OkPush, COUNT / 2)]));
    let calls = world.facts("call_created").await;
    let called: BTreeSet<&str> = calls.iter().map(|call| call["to"].as_str().unwrap()).collect();
    assert_eq!(calls.len(), called.len(), "a phone rang twice");
    assert_eq!(called.len() as u64, COUNT / 2);
    for running in [older, newer, gateway] {
        assert!(running.stop().await);
    }
}
