//! What a client can and cannot do with a connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Fleet, reply};

const SECOND: Duration = Duration::from_secs(1);
/// Any request, of which many fit on a connection.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

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
    idle.write_all(REQUEST).await.unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 404");
    let address = fleet.address.clone();
    fleet.end().await;
    read_to_end(idle).await;
    assert!(TcpStream::connect(&address).await.is_err());
}

/// Sends requests and reads no answer, until the gateway has had enough; says how long that took.
async fn pipelines_without_reading(address: &str) -> Duration {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let began = tokio::time::Instant::now();
    let requests = REQUEST.repeat(100);
    let writing = async { while stream.write_all(&requests).await.is_ok() {} };
    tokio::time::timeout(SECOND * 40, writing).await.expect("the connection is cut");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_no_answers_is_cut_off() {
    let fleet = Fleet::without_database().await;
    pipelines_without_reading(&fleet.address).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_would_read_later_is_cut_off_when_its_connection_has_grown_old() {
    let fleet = Fleet::without_database_but(&[("HEAD_TIMEOUT", "2m"), ("CONNECTION_AGE_MAX", "1s")]).await;
    let took = pipelines_without_reading(&fleet.address).await;
    assert!(SECOND * 9 / 10 <= took && took < SECOND * 10, "{took:?}");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_closed_between_two_requests() {
    let fleet = Fleet::without_database_but(&[("HEAD_TIMEOUT", "2m"), ("CONNECTION_AGE_MAX", "1s")]).await;
    let mut stream = TcpStream::connect(&fleet.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let answers = read_to_end(stream).await;
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 1);
    fleet.end().await;
}

/// One frame of HTTP/2 (RFC 9113, section 4.1): its type, its flags and its payload.
async fn frame(stream: &mut TcpStream) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], payload))
}

/// What a client of HTTP/2 saw until its connection was closed: it sends one request and then only answers pings.
struct Seen {
    pings: u32,
    go_aways: u32,
    after: Duration,
}

/// `settings` is the payload of its SETTINGS, `head` that of its HEADERS.
async fn only_answers_pings(address: &str, settings: &[u8], head: &[u8]) -> Seen {
    const PING: u8 = 6;
    const GO_AWAY: u8 = 7;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = |payload: &[u8]| u8::try_from(payload.len()).unwrap();
    let hello = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0, 0, length(settings), 4, 0, 0, 0, 0, 0][..],
        settings,
        // END_HEADERS and END_STREAM, on stream 1.
        &[0, 0, length(head), 1, 5, 0, 0, 0, 1],
        head,
    ];
    stream.write_all(&hello.concat()).await.unwrap();
    let began = tokio::time::Instant::now();
    let (mut pings, mut go_aways) = (0, 0);
    let reading = async {
        while let Some((kind, flags, payload)) = frame(&mut stream).await {
            match (kind, flags) {
                (PING, 0) => {
                    pings += 1;
                    let answer = [&[0, 0, 8, PING, 1, 0, 0, 0, 0][..], &payload].concat();
                    // The last one may find nobody any more.
                    let _ = stream.write_all(&answer).await;
                }
                (GO_AWAY, _) => go_aways += 1,
                _ => {}
            }
        }
    };
    tokio::time::timeout(SECOND * 30, reading).await.expect("the connection is closed");
    Seen { pings, go_aways, after: began.elapsed() }
}

/// `:method: GET`, `:scheme: http` and `:path: /`, by their numbers in the static table (RFC 7541, appendix A).
const GET_ROOT: [u8; 3] = [0x82, 0x86, 0x84];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_only_answers_pings_is_asked_to_go_when_its_connection_has_grown_old() {
    // The gateway pings every second.
    let fleet = Fleet::without_database_but(&[("CONNECTION_AGE_MAX", "3s")]).await;
    let seen = only_answers_pings(&fleet.address, &[], &GET_ROOT).await;
    assert!(seen.go_aways > 0 && seen.pings > 1, "{} pings, asked {} times", seen.pings, seen.go_aways);
    assert!(seen.after >= SECOND * 2, "{:?}", seen.after);
    assert_eq!(fleet.metric("mfa_gateway_connections"), 0);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_takes_its_answer_is_cut_after_it_was_asked_to_go() {
    let fleet = Fleet::without_database_but(&[("CONNECTION_AGE_MAX", "1s")]).await;
    // SETTINGS_INITIAL_WINDOW_SIZE 0: no body may be sent, and this answer has one.
    let head = [&GET_ROOT[..2], &[0x04, 15], b"/app/challenges"].concat();
    let seen = only_answers_pings(&fleet.address, &[0, 4, 0, 0, 0, 0], &head).await;
    assert!(seen.go_aways > 0, "it was not asked to go");
    assert!(SECOND * 5 <= seen.after && seen.after < SECOND * 20, "{:?}", seen.after);
    fleet.end().await;
}
