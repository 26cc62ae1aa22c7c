//! What a broken Redis costs, and that nothing stays broken after it.

use std::time::Duration;

use fleet_lifecycle::{Stop, Tasks};
use fleet_outcomes::Error;
use fleet_testkit::redis_url;
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

use crate::support::{
    Fleet, OwnServer, PATIENCE, Proxy, ask, new_id, portal, raw, settings, terminal, told, until, user,
};

/// As in production.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(300);

/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(700);

/// Tells until it works again.
async fn recovers(fleet: &Fleet) {
    let id = new_id();
    until("telling works again", async || fleet.outcomes.tell(terminal(id, 9)).await.is_ok()).await;
    let document = fleet.outcomes.get(&portal(), id).await.unwrap().unwrap();
    assert_eq!(document.json, terminal(id, 9).json);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_costs_at_most_one_failed_tell() {
    let mut redis = raw(&redis_url()).await;
    let (name, url) = user(&mut redis, "~* &* +@all").await;
    let fleet = Fleet::with(settings(&url));
    recovers(&fleet).await;
    let mut failed = 0;
    for _ in 0..20 {
        assert_eq!(ask::<u64>(&mut redis, &format!("CLIENT KILL USER {name}")).await, 1);
        for seq in 1..=5 {
            failed += u32::from(fleet.outcomes.tell(told(new_id(), seq)).await.is_err());
        }
    }
    assert!(failed <= 20, "{failed} failures after 20 kills");
    println!("{failed} of 100 tells failed over 20 kills");
    assert_eq!(fleet.metric("mfa_outcomes_reconnects_total"), 20);
    ask::<()>(&mut redis, &format!("ACL DELUSER {name}")).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_no_caller_more_than_the_timeout() {
    let stop = Stop::new();
    let proxy = Proxy::start(&Tasks::new(stop.clone()), &redis_url()).await;
    let mut settings = settings(&proxy.url);
    (settings.command_timeout, settings.connect_timeout) = (COMMAND_TIMEOUT, COMMAND_TIMEOUT);
    let fleet = Fleet::with(settings);
    recovers(&fleet).await;
    let own = portal();
    proxy.freeze();
    for _ in 0..10 {
        let started = Instant::now();
        let (written, read) =
            tokio::join!(fleet.outcomes.tell(told(new_id(), 1)), fleet.outcomes.get(&own, new_id()));
        assert_eq!((written, read), (Err(Error::Unavailable), Err(Error::Unavailable)));
        assert!(started.elapsed() < COMMAND_TIMEOUT + SLACK, "{:?}", started.elapsed());
    }
    until("the gauge says so", async || fleet.metric("mfa_outcomes_up") == 0).await;
    proxy.thaw();
    recovers(&fleet).await;
    assert_eq!(fleet.metric("mfa_outcomes_up"), 1);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_connection_is_replaced_after_three_timeouts() {
    let proxy = Proxy::start(&Tasks::new(Stop::new()), &redis_url()).await;
    let mut settings = settings(&proxy.url);
    settings.command_timeout = COMMAND_TIMEOUT;
    let fleet = Fleet::with(settings);
    recovers(&fleet).await;
    proxy.silence_open_ones();
    let silent_since = Instant::now();
    let mut failed = 0;
    while fleet.outcomes.tell(told(new_id(), 1)).await.is_err() {
        failed += 1;
        assert!(silent_since.elapsed() < PATIENCE, "never replaced");
    }
    println!("{failed} tells failed, {:?} until the next worked", silent_since.elapsed());
    assert!(failed <= 4, "{failed}");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_half_open_connection_is_replaced_too() {
    let proxy = Proxy::start(&Tasks::new(Stop::new()), &redis_url()).await;
    let mut settings = settings(&proxy.url);
    settings.command_timeout = COMMAND_TIMEOUT;
    let fleet = Fleet::with(settings);
    recovers(&fleet).await;
    proxy.silence_open_ones();
    until("it is replaced", async || fleet.metric("mfa_outcomes_reconnects_total") == 1).await;
    fleet.outcomes.tell(told(new_id(), 1)).await.unwrap();
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_tells_fail_at_once_and_the_start_does_not_wait() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fleet = Fleet::with(settings(&format!("redis://{nobody}/0")));
    assert_eq!(fleet.outcomes.tell(told(new_id(), 1)).await, Err(Error::Unavailable));
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(fleet.outcomes.tell(told(new_id(), 1)).await, Err(Error::Unavailable));
    }
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
    assert_eq!(fleet.metric("mfa_outcomes_written_total{result=\"failed\"}"), 101);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_turned_into_a_replica_is_left_and_taken_again_when_it_takes_writes() {
    let server = OwnServer::start().await;
    let mut redis = raw(&server.url).await;
    let fleet = Fleet::with(settings(&server.url));
    recovers(&fleet).await;
    ask::<()>(&mut redis, "REPLICAOF 127.0.0.1 1").await;
    assert_eq!(fleet.outcomes.tell(told(new_id(), 1)).await, Err(Error::Unavailable));
    until("it is left", async || fleet.metric("mfa_outcomes_up") == 0).await;
    ask::<()>(&mut redis, "REPLICAOF NO ONE").await;
    recovers(&fleet).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_takes_nothing_until_it_has_room_again() {
    let server = OwnServer::start().await;
    let mut redis = raw(&server.url).await;
    let fleet = Fleet::with(settings(&server.url));
    recovers(&fleet).await;
    ask::<()>(&mut redis, "CONFIG SET maxmemory 1").await;
    assert_eq!(fleet.outcomes.tell(told(new_id(), 1)).await, Err(Error::Unavailable));
    ask::<()>(&mut redis, "CONFIG SET maxmemory 0").await;
    recovers(&fleet).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_notices_that_redis_was_emptied_or_restarted() {
    let mut server = OwnServer::start().await;
    let shared = settings(&server.url);
    let fleets = [Fleet::with(shared.clone()), Fleet::with(shared)];
    let mut epochs = fleets.each_ref().map(|fleet| fleet.outcomes.epoch());
    for fleet in &fleets {
        recovers(fleet).await;
    }
    for emptied in 0..4 {
        for epoch in &mut epochs {
            epoch.mark_unchanged();
        }
        if emptied % 2 == 0 {
            ask::<()>(&mut raw(&server.url).await, "FLUSHALL").await;
        } else {
            server.restart().await;
        }
        for epoch in &mut epochs {
            timeout(PATIENCE, epoch.changed()).await.expect("nobody noticed").unwrap();
        }
    }
    for fleet in fleets {
        recovers(&fleet).await;
        fleet.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_replaced_without_a_failed_tell() {
    let mut settings = settings(&redis_url());
    settings.connection_age_max = Duration::from_secs(1);
    let fleet = Fleet::with(settings);
    until("the second replacement", async || {
        fleet.outcomes.tell(told(new_id(), 1)).await.unwrap();
        fleet.metric("mfa_outcomes_reconnects_total") >= 2
    })
    .await;
    fleet.end().await;
}
