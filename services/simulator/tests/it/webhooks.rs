//! The customer's server is down, broken or slow: what is tried again, how often, and what becomes of the call.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet_lifecycle::{Stop, Tasks};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::customer::Customer;
use crate::stage::{FROM, Stage};

const ALICE: &str = "+19195550101";
const BUSY: &str = "+19195550103";
const PEOPLE: &str = "[[person]]\nnumber = \"+19195550101\"\n\n\
                      [[person]]\nnumber = \"+19195550103\"\nbusy = true\n\n\
                      [[person]]\nnumber = \"+19195550104\"\nhangs_up = { after = \"60s\" }\n";
/// 15 s are half a second.
const FAST: &str = "network_speed = 30.0";

/// The URL of a port on which nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A server that reads a request, writes this and closes the connection.
async fn breaks_off(bytes: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    Tasks::new(Stop::new()).spawn_detail("a server that breaks off", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 65_536];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_callback_is_tried_as_often_as_its_fragment_says() {
    let (stage, mut customer) = (Stage::set(FAST, PEOPLE).await, Customer::open(&[]).await);
    let (up, down) = (customer.url.clone(), nobody().await);
    let (broken, partial) =
        (breaks_off("").await, breaks_off("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab").await);
    let table = [
        (format!("{up}/answers/503"), 1, json!(503), Value::Null),
        (format!("{up}/answers/503#rc=3&rp=all"), 4, json!(503), Value::Null),
        (format!("{up}/answers/503#rc=3"), 1, json!(503), Value::Null),
        (format!("{up}/answers/404#rc=2&rp=5xx,ct"), 1, json!(404), Value::Null),
        (format!("{up}/answers/404#rc=2&rp=4xx"), 3, json!(404), Value::Null),
        (format!("{up}/recovers/2#rc=3&rp=5xx"), 3, json!(200), Value::Null),
        (format!("{up}/hangs"), 1, Value::Null, json!("total_timeout")),
        (format!("{up}/hangs#rt=3000&rp=rt"), 2, Value::Null, json!("timeout")),
        (format!("{up}/hangs#rt=3000&rc=5"), 1, Value::Null, json!("timeout")),
        (format!("{up}/hangs#rt=6000&rc=5&rp=all"), 3, Value::Null, json!("total_timeout")),
        (format!("{up}/hangs#tt=3000&rc=5&rp=all"), 1, Value::Null, json!("total_timeout")),
        (format!("{down}/status"), 2, Value::Null, json!("connect")),
        (format!("{down}/status#rc=0"), 1, Value::Null, json!("connect")),
        (format!("{down}/status#rc=5&ct=100"), 6, Value::Null, json!("connect")),
        (format!("{down}/status#rc=3&rp=all"), 4, Value::Null, json!("connect")),
        (format!("{down}/status#rc=3&rp=rt,4xx,5xx"), 1, Value::Null, json!("connect")),
        (format!("{broken}/status#rc=3"), 1, Value::Null, json!("protocol")),
        (format!("{broken}/status#rc=3&rp=all"), 1, Value::Null, json!("protocol")),
        (format!("{partial}/status#rc=3&rp=all"), 1, Value::Null, json!("partial")),
        (format!("{up}/status#rp=sometimes"), 0, Value::Null, json!("bad_policy")),
    ];
    for (place, (callback, tries, status, error)) in table.into_iter().enumerate() {
        let form = [("To", BUSY), ("From", FROM), ("Twiml", "<Response/>"), ("StatusCallback", &*callback)];
        assert_eq!(stage.post("Calls.json", &form).await.0, 201, "{callback}");
        let told = stage.until_logged("callback", place + 1).await.pop().unwrap();
        assert_eq!(
            (&told["tries"], &told["status"], &told["error"]),
            (&json!(tries), &status, &error),
            "{callback}"
        );
        let seen = customer.so_far();
        if callback.starts_with(&up) {
            assert_eq!(seen.len(), tries, "{callback}");
            let tokens: BTreeSet<_> = seen.iter().map(|seen| &seen.idempotency_token).collect();
            assert!(tokens.len() <= 1 && seen.iter().all(|seen| seen.is_signed), "{callback}: {seen:#?}");
        }
    }
}

/// Has alice called with this document's URL and fallback; returns the notifications and how the call ended.
async fn fetch(stage: &Stage, to: &str, url: &str, fallback: Option<&str>) -> (Vec<Value>, Value) {
    let ended = stage.facts("ended").await.len();
    let mut form = vec![("To", to), ("From", FROM), ("Url", url)];
    form.extend(fallback.map(|url| ("FallbackUrl", url)));
    let sid = stage.post("Calls.json", &form).await.1["sid"].clone();
    let end = stage.until_logged("ended", ended + 1).await.pop().unwrap();
    let notes = stage.facts("notification").await.into_iter().filter(|note| note["sid"] == sid);
    (notes.map(|note| note["code"].clone()).collect(), end)
}

#[tokio::test]
async fn without_twiml_twilio_says_so_and_the_call_ends_completed() {
    let (stage, customer) = (Stage::set(FAST, PEOPLE).await, Customer::open(&[]).await);
    let (up, down) = (&customer.url, nobody().await);
    let (broken, partial) =
        (breaks_off("").await, breaks_off("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab").await);
    let table = [
        (format!("{up}/answers/503"), None, vec![11200]),
        (format!("{up}/hangs"), None, vec![11203]),
        (format!("{up}/hangs#rt=3000"), None, vec![11200]),
        (format!("{down}/voice"), None, vec![11205]),
        (format!("{broken}/voice"), None, vec![11206]),
        (format!("{partial}/voice"), None, vec![11200]),
        (format!("{up}/voice#rp=never"), None, vec![11243]),
        (format!("{down}/voice"), Some(format!("{up}/answers/500")), vec![11205, 11200]),
        (format!("{up}/hangs"), Some(format!("{down}/fallback")), vec![11203, 11205]),
    ];
    for (url, fallback, codes) in table {
        let (notes, end) = fetch(&stage, ALICE, &url, fallback.as_deref()).await;
        assert_eq!(notes, codes, "{url} {fallback:?}");
        assert_eq!(
            (&end["status"], &end["by"], &end["sip"]),
            (&"completed".into(), &"twiml".into(), &200.into())
        );
        assert!(
            end["seconds"].as_u64().unwrap() >= 5,
            "the message lasts five seconds of carrier time: {end}"
        );
    }
}

#[tokio::test]
async fn a_document_is_fetched_again_as_its_fragment_says_and_the_fallback_learns_why() {
    let (stage, mut customer) = (Stage::set(FAST, PEOPLE).await, Customer::open(&[]).await);
    let url = format!("{}/recovers/2#rc=2&rp=5xx", customer.url);
    let (notes, end) = fetch(&stage, ALICE, &url, None).await;
    assert_eq!((notes.len(), &end["status"]), (0, &"completed".into()));
    let fetched = &stage.facts("fetched").await[0];
    assert_eq!((&fetched["tries"], &fetched["status"]), (&3.into(), &200.into()));
    assert_eq!(customer.so_far().len(), 3);
    let (hangs, fallback) = (format!("{}/hangs", customer.url), format!("{}/recovers/0", customer.url));
    let (notes, _) = fetch(&stage, ALICE, &hangs, Some(&fallback)).await;
    assert_eq!(notes, [11203]);
    let asked = customer.so_far().pop().unwrap();
    assert_eq!((asked.field("ErrorCode"), asked.field("ErrorUrl")), ("11203", &*hangs));
}

#[tokio::test]
async fn a_callee_who_hangs_up_while_the_customer_hangs_ends_the_call() {
    let (stage, customer) = (Stage::set("", PEOPLE).await, Customer::open(&[]).await);
    let began = Instant::now();
    // 60 s of the callee's patience are 300 ms here; the customer's 15 s would be real.
    let hangs = format!("{}/hangs", customer.url);
    let (notes, end) = fetch(&stage, "+19195550104", &hangs, Some(&hangs)).await;
    assert_eq!((notes.len(), &end["by"], &end["status"]), (0, &"callee".into(), &"completed".into()));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
