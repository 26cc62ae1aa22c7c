//! What a client can and cannot do with a connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Fleet, reply};

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the connection is closed").unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_and_a_dripping_client_are_cut_off() {
    let fleet = Fleet::without_database().await;
    let silent = TcpStream::connect(&fleet.address).await.unwrap();
    let mut dripping = TcpStream::connect(&fleet.address).await.unwrap();
    dripping.write_all(b"GET /app/challenges HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut half_a_preface = TcpStream::connect(&fleet.address).await.unwrap();
    half_a_preface.write_all(b"PRI * HTTP").await.unwrap();
    for stream in [silent, dripping, half_a_preface] {
        assert_eq!(read_to_end(stream).await, "");
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused() {
    let fleet = Fleet::without_database().await;
    let mut stream = TcpStream::connect(&fleet.address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    // The gateway may close before it has read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 431");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_are_served_and_other_paths_are_not() {
    let fleet = Fleet::without_database().await;
    let http1 = reqwest::Client::builder().http1_only().build().unwrap();
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for client in [http1, http2] {
        let url = |path: &str| format!("http://{}{path}", fleet.address);
        for (path, status) in
            [("/app/challenges", 401), ("/", 404), ("/twilio/calls", 404), ("/app/challenges/../x", 404)]
        {
            let reply = reply(client.get(url(path))).await;
            assert_eq!((reply.status, reply.header("cache-control")), (status, "no-store"), "{path}");
        }
        assert_eq!(reply(client.post(url("/app/challenges"))).await.status, 405);
    }
    let series = "mfa_gateway_requests_total{route=\"none\",status=\"4xx\"}";
    assert_eq!(fleet.metric(series), 6);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soft_stop_closes_idle_connections_and_the_port() {
    let fleet = Fleet::without_database().await;
    let mut idle = TcpStream::connect(&fleet.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 404");
    let address = fleet.address.clone();
    fleet.end().await;
    read_to_end(idle).await;
    assert!(TcpStream::connect(&address).await.is_err());
}
