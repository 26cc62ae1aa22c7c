//! What becomes of letters that were given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_broker::{Delivery, Exchange, Handler, LetterBox, Message, Poison, Queue, Verdict};
use fleet_domain::PortalName;

use crate::support::{Fleet, Program};

const DIAL: &str = include_str!("../../../../shared/contracts/examples/dial-owed.json");
const REQUEST: &str = include_str!("../../../../shared/contracts/examples/challenge-request.json");

/// Parks everything whole until it is well again, and then notes what it gets.
#[derive(Clone, Default)]
struct Worker {
    well: Arc<AtomicBool>,
    handled: Arc<Mutex<Vec<String>>>,
}

impl Handler for Worker {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        if !self.well.load(Ordering::SeqCst) {
            return Verdict::Poison(Poison::whole("not_storable", "the database did not take it"));
        }
        self.handled.lock().unwrap().push(delivery.message_id.unwrap());
        Verdict::Done
    }
}

impl Worker {
    async fn handled(&self, count: usize) -> Vec<String> {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            let handled = self.handled.lock().unwrap().clone();
            if handled.len() >= count {
                return handled;
            }
        }
    }
}

async fn park(fleet: &Fleet, queue: Queue, id: &str, body: &'static str) {
    let message = Message {
        exchange: if queue == Queue::VoiceDial { Exchange::Internal } else { Exchange::Requests },
        routing_key: queue.name().into(),
        body: body.into(),
        message_id: id.into(),
        portal: PortalName::parse("operations").ok(),
        content_type: "application/cloudevents+json".into(),
        mandatory: true,
        traceparent: None,
    };
    let before = fleet.broker.browse(LetterBox::Parked, 100).await.unwrap().len();
    fleet.broker.publisher().publish(message).await.unwrap();
    while fleet.broker.browse(LetterBox::Parked, 100).await.unwrap().len() == before {}
}

async fn listed(program: &Program) -> Vec<String> {
    let listed = program.run(&["dead", "list"]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    let ids = listed.out.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    ids.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn m6_a_letter_is_replayed_once_a_challenge_never_and_the_rest_is_dropped_when_that_is_confirmed() {
    let fleet = Fleet::start().await;
    let worker = Worker::default();
    fleet.broker.consume(Queue::VoiceDial, 1, worker.clone());
    fleet.broker.consume(Queue::ChallengePush, 1, worker.clone());
    for id in ["a", "b", "c"] {
        park(&fleet, Queue::VoiceDial, id, DIAL).await;
    }
    park(&fleet, Queue::ChallengePush, "asked", REQUEST).await;
    worker.well.store(true, Ordering::SeqCst);
    let program = fleet.program();

    let replayed = program.run(&["dead", "replay", "b"]).await;
    assert_eq!(replayed.out, "b was published again, to voice.dial\n", "{}", replayed.err);
    assert_eq!(replayed.code, Some(0));
    assert_eq!(worker.handled(1).await, ["b"]);
    assert_eq!(listed(&program).await, ["a", "c", "asked"]);

    for (arguments, code, part) in [
        (&["dead", "replay", "b"][..], 66, "no message b was given up"),
        (&["dead", "replay", "asked"], 14, "its portal publishes a new one, under a new challenge_id"),
        (&["dead", "drop", "b", "--yes"], 66, "no message b was given up"),
        (&["dead", "drop", "a"], 64, "nothing was dropped: --yes drops these messages for good, 1 of them"),
        (&["dead", "drop", "--all"], 64, "3 of them"),
        (&["dead", "drop", "a", "--all", "--yes"], 64, "cannot be used with"),
        (&["dead", "drop", "--reason", "not_storable", "--yes"], 64, "--all"),
        (&["dead", "drop", "--all", "--reason", "oversize", "--yes"], 0, "nothing was dropped"),
        (&["dead", "drop", "--all", "--older-than", "1h", "--yes"], 0, "nothing was dropped"),
    ] {
        let ended = program.run(arguments).await;
        let told = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
        assert_eq!(listed(&program).await, ["a", "c", "asked"], "{arguments:?}");
    }

    let dropped = program.run(&["dead", "drop", "a", "--yes"]).await;
    assert!(
        dropped.out.contains("not_storable") && dropped.out.ends_with("dropped for good: 1\n"),
        "{}",
        dropped.out
    );
    assert_eq!(listed(&program).await, ["c", "asked"]);
    let dropped = program.run(&["dead", "drop", "--all", "--reason", "not_storable", "--yes"]).await;
    assert_eq!(dropped.code, Some(0), "{}", dropped.err);
    let none = program.run(&["dead", "list"]).await;
    assert_eq!(none.out, "no message was given up\n");
    assert_eq!(worker.handled(1).await, ["b"], "the others were never sent");
    fleet.stop().await;
}
