//! What `tell` writes and publishes.

use std::time::Duration;

use fleet_keys::{Keys, verify_outcome};
use fleet_outcomes::{Error, SignedDocument, Told};
use fleet_testkit::redis_url;
use futures_util::{StreamExt, future::join_all};

use crate::support::{Fleet, ask, new_id, now, portal, raw, terminal, told};

/// The order number `round` of many: the versions 1 to 10, each twice.
fn shuffled(round: usize) -> Vec<u32> {
    let mut seqs: Vec<u32> = (1..=10).chain(1..=10).collect();
    let mut state = round * 7919 + 1;
    for index in (1..seqs.len()).rev() {
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
        seqs.swap(index, state % (index + 1));
    }
    seqs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_highest_seq_stands_in_whatever_order_versions_come() {
    let fleet = Fleet::start();
    for round in 0..20 {
        let id = new_id();
        let tells = shuffled(round).into_iter().map(|seq| fleet.outcomes.tell(told(id, seq)));
        if round % 2 == 0 {
            for tell in tells {
                tell.await.unwrap();
            }
        } else {
            assert!(join_all(tells).await.iter().all(Result::is_ok));
        }
        let stands = fleet.outcomes.get(&portal(), id).await.unwrap().unwrap();
        assert_eq!(stands, SignedDocument { json: told(id, 10).json, signature: None }, "round {round}");
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_written_document_is_published_as_it_is_and_no_other() {
    let fleet = Fleet::start();
    let id = new_id();
    let client = redis::Client::open(redis_url()).unwrap();
    let mut listening = client.get_async_pubsub().await.unwrap();
    listening.subscribe(fleet.key(&portal(), id)).await.unwrap();
    for seq in [1, 3, 2, 3, 4] {
        fleet.outcomes.tell(told(id, seq)).await.unwrap();
    }
    fleet.outcomes.tell(terminal(id, 5)).await.unwrap();
    let published = listening.into_on_message().map(|message| message.get_payload::<String>().unwrap());
    let expected = [told(id, 1), told(id, 3), told(id, 4), terminal(id, 5)].map(|told| told.json);
    assert_eq!(published.take(4).collect::<Vec<_>>().await, expected);
    for (result, count) in [("written", 4), ("older", 2), ("expired", 0), ("failed", 0)] {
        assert_eq!(
            fleet.metric(&format!("mfa_outcomes_written_total{{result=\"{result}\"}}")),
            count,
            "{result}"
        );
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_document_is_signed_over_its_exact_bytes() {
    let fleet = Fleet::start();
    let jwk = Keys::for_tests().outcome_jwk();
    let id = new_id();
    // The last one is a late fact: it must bring its own signature.
    for last in [terminal(id, 4), terminal(id, 5)] {
        fleet.outcomes.tell(last.clone()).await.unwrap();
        let SignedDocument { json, signature } = fleet.outcomes.get(&portal(), id).await.unwrap().unwrap();
        let signature = signature.unwrap();
        assert_eq!(json, last.json);
        verify_outcome(&jwk, json.as_bytes(), &signature).unwrap();
        for index in 0..json.len() {
            let mut flipped = json.clone().into_bytes();
            flipped[index] ^= 1;
            assert!(verify_outcome(&jwk, &flipped, &signature).is_err(), "byte {index}");
        }
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_and_signatures_expire_at_collect_by_rounded_up() {
    let fleet = Fleet::start();
    let mut redis = raw(&redis_url()).await;
    let (open, ended) = (new_id(), new_id());
    for last in [told(open, 1), terminal(ended, 1)] {
        fleet
            .outcomes
            .tell(Told { collect_by: now().plus(Duration::from_millis(60_500)), ..last.clone() })
            .await
            .unwrap();
        let collect_by = now().plus(Duration::from_micros(90_000_001));
        let newer = Told { seq: 2, json: last.json.replace(":1,", ":2,"), collect_by, ..last };
        fleet.outcomes.tell(newer.clone()).await.unwrap();
        let id = if newer.terminal { ended } else { open };
        let key = fleet.key(&portal(), id);
        let expected = if newer.terminal { [Some(()), Some(())] } else { [Some(()), None] };
        let expected =
            expected.map(|there| there.map_or(-2, |()| (collect_by.as_micros() + 999_999) / 1_000_000));
        let expiries: [i64; 2] = [
            ask(&mut redis, &format!("EXPIRETIME {key}")).await,
            ask(&mut redis, &format!("EXPIRETIME {key}:sig")).await,
        ];
        assert_eq!(expiries, expected);
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_when_collect_by_is_past() {
    let fleet = Fleet::start();
    let id = new_id();
    for past in [now().minus(Duration::from_secs(1)), fleet_domain::Timestamp::from_micros(-5)] {
        fleet.outcomes.tell(Told { collect_by: past, ..terminal(id, 3) }).await.unwrap();
    }
    assert_eq!(fleet.outcomes.get(&portal(), id).await.unwrap(), None);
    assert_eq!(fleet.metric("mfa_outcomes_written_total{result=\"expired\"}"), 2);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_without_its_seq_is_refused_before_it_is_sent() {
    let fleet = Fleet::start();
    let id = new_id();
    let wrong = Told { seq: 2, ..told(id, 1) };
    assert_eq!(fleet.outcomes.tell(wrong).await, Err(Error::Misnumbered));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unloaded_script_is_loaded_again_without_a_failure() {
    let fleet = Fleet::start();
    let mut redis = raw(&redis_url()).await;
    let id = new_id();
    for seq in 1..=5 {
        fleet.outcomes.tell(told(id, seq)).await.unwrap();
        ask::<()>(&mut redis, "SCRIPT FLUSH").await;
    }
    fleet.outcomes.tell(terminal(id, 6)).await.unwrap();
    assert_eq!(fleet.outcomes.get(&portal(), id).await.unwrap().unwrap().json, terminal(id, 6).json);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_one_key_is_told_to_its_own_waiter_only() {
    let fleet = Fleet::start();
    let mut redis = raw(&redis_url()).await;
    let ids = [(); 3].map(|()| new_id());
    ask::<()>(&mut redis, &format!("RPUSH {} something", fleet.key(&portal(), ids[1]))).await;
    let results = join_all(ids.map(|id| fleet.outcomes.tell(told(id, 1)))).await;
    assert_eq!(results, [Ok(()), Err(Error::Refused { code: "WRONGTYPE".into() }), Ok(())]);
    ask::<()>(&mut redis, &format!("DEL {}", fleet.key(&portal(), ids[1]))).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_tells_at_once_need_few_pipelines() {
    let fleet = Fleet::start();
    let started = tokio::time::Instant::now();
    let tells = (0..5000).map(|number| {
        let id = new_id();
        fleet.outcomes.tell(if number % 4 == 0 { terminal(id, 3) } else { told(id, 2) })
    });
    assert!(join_all(tells).await.iter().all(Result::is_ok));
    let took = started.elapsed();
    let pipelines = fleet.metric("mfa_outcomes_batch_size_count");
    println!("5,000 documents, a quarter of them signed: {pipelines} pipelines, {took:?}");
    assert_eq!(fleet.metric("mfa_outcomes_written_total{result=\"written\"}"), 5000);
    // 20 are full; the first ones go while the others are still coming.
    assert!((20..=100).contains(&pipelines), "{pipelines} pipelines");
    fleet.end().await;
}
