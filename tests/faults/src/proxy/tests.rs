//! Each fault, over real sockets. That nothing passes is seen by waiting a short while for it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use fleet_lifecycle::{Stop, Tasks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::{Fault, Proxy};

/// Nothing here takes so long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long nothing must be seen to pass.
const SILENCE: Duration = Duration::from_millis(80);

fn tasks() -> Tasks {
    Tasks::new(Stop::new())
}

/// A server that says its name to each connection, and then all that it is told.
async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let servers = tasks();
    servers.clone().spawn_detail("echo", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            servers.spawn_detail("echo connection", async move {
                let _written = stream.write_all(name.as_bytes()).await;
                let (mut from, mut to) = stream.split();
                let _ended = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// A connection through the proxy that has reached its upstream, and that upstream's name.
async fn client(proxy: &Proxy) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = String::from_utf8(read(&mut stream, 1).await.unwrap()).unwrap();
    (stream, name)
}

async fn read(stream: &mut TcpStream, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    timeout(DEADLINE, stream.read_exact(&mut bytes)).await.expect("the bytes arrive before the deadline")?;
    Ok(bytes)
}

async fn echoed(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).await.unwrap();
    read(stream, text.len()).await.unwrap() == text.as_bytes()
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(SILENCE, stream.read(&mut [0; 1])).await.is_err()
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let end = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("the connection ends");
    end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let met = timeout(DEADLINE, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    met.await.expect(what);
}

#[tokio::test]
async fn without_a_fault_all_bytes_and_the_half_close_pass() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    let (mut stream, _) = client(&proxy).await;
    let sent: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let (mut from, mut to) = stream.split();
    let (written, received) = tokio::join!(
        async {
            to.write_all(&sent).await?;
            to.shutdown().await
        },
        async {
            let mut received = Vec::new();
            timeout(DEADLINE, from.read_to_end(&mut received)).await.map(|_| received)
        }
    );
    written.unwrap();
    assert!(received.unwrap() == sent, "the echo comes back whole, and ends because our half did");
    until("the connection ends", || proxy.counts().open == 0).await;
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.bytes_up, counts.bytes_down), (1, 200_000, 200_001));
}

#[tokio::test]
async fn answers_are_held_back_while_what_is_asked_arrives() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    let (mut client, _) = client(&proxy).await;
    proxy.set(Fault::HoldAnswers).await;
    let before = proxy.counts().bytes_up;
    client.write_all(b"asked").await.unwrap();
    until("it reaches the upstream", || proxy.counts().bytes_up == before + 5).await;
    assert!(is_silent(&mut client).await);
    proxy.set(Fault::None).await;
    assert_eq!(read(&mut client, 5).await.unwrap(), b"asked");
}

#[tokio::test]
async fn latency_delays_both_ways_and_keeps_the_order() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    let (mut stream, _) = client(&proxy).await;
    let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(15));
    proxy.set(Fault::Latency { delay, jitter }).await;
    let began = Instant::now();
    assert!(echoed(&mut stream, "there and back").await);
    assert!(began.elapsed() >= delay * 2, "{:?}", began.elapsed());
    let sent: Vec<u8> = (0..120).collect();
    for piece in sent.chunks(2) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&mut stream, sent.len()).await.unwrap(), sent);
}

#[tokio::test]
async fn a_black_hole_swallows_everything_until_it_ends() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    let (mut old, _) = client(&proxy).await;
    proxy.set(Fault::BlackHole).await;
    old.write_all(b"old").await.unwrap();
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(is_silent(&mut old).await);
    assert!(is_silent(&mut new).await, "not even the upstream's first word passes");
    proxy.set(Fault::None).await;
    assert_eq!(read(&mut old, 3).await.unwrap(), b"old");
    assert_eq!(read(&mut new, 1).await.unwrap(), b"a");
}

#[tokio::test]
async fn old_connections_die_unnoticed_and_new_ones_pass() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    let (mut old, _) = client(&proxy).await;
    proxy.set(Fault::BlackHoleOld).await;
    old.write_all(b"old").await.unwrap();
    let (mut new, _) = client(&proxy).await;
    assert!(echoed(&mut new, "new").await);
    proxy.set(Fault::None).await;
    assert!(is_silent(&mut old).await, "it stays dead when nothing is wrong any more");
    drop((old, new));
    until("the new one ends", || proxy.counts().open == 1).await;
    assert_eq!(proxy.counts().bytes_up, 3, "the end of the dead one is not passed on either");
}

#[tokio::test]
async fn a_reset_hits_open_connections_on_both_sides_and_no_new_one() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(vec![upstream.local_addr().unwrap()], &tasks()).await.unwrap();
    let mut client_side = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut upstream_side, _) = upstream.accept().await.unwrap();
    client_side.write_all(b"x").await.unwrap();
    read(&mut upstream_side, 1).await.unwrap();
    proxy.set(Fault::Reset).await;
    assert!(is_reset(&mut client_side).await);
    assert!(is_reset(&mut upstream_side).await);
    let mut new_client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut new_upstream, _) = upstream.accept().await.unwrap();
    new_client.write_all(b"y").await.unwrap();
    assert_eq!(read(&mut new_upstream, 1).await.unwrap(), b"y");
}

#[tokio::test]
async fn a_connection_is_reset_after_so_many_bytes_both_ways() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    proxy.set(Fault::ResetAfter { bytes: 12 }).await;
    let (mut stream, _) = client(&proxy).await;
    stream.write_all(b"eightbyt").await.unwrap();
    assert!(is_reset(&mut stream).await);
    let counts = proxy.counts();
    assert_eq!((counts.bytes_up, counts.bytes_down), (8, 4));
}

#[tokio::test]
async fn new_connections_are_refused_while_old_ones_pass_and_the_port_comes_back() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    let (mut old, _) = client(&proxy).await;
    for _ in 0..3 {
        proxy.set(Fault::Refuse).await;
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(echoed(&mut old, "old").await);
        proxy.set(Fault::None).await;
        let (mut new, _) = client(&proxy).await;
        assert!(echoed(&mut new, "new").await);
    }
}

#[tokio::test]
async fn bandwidth_limits_the_rate_and_lifting_it_lets_the_rest_pass_at_once() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    let (mut stream, _) = client(&proxy).await;
    proxy.set(Fault::Bandwidth { bytes_per_s: 50_000 }).await;
    let began = Instant::now();
    assert!(echoed(&mut stream, &"x".repeat(15_000)).await);
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    proxy.set(Fault::Bandwidth { bytes_per_s: 1 }).await;
    stream.write_all(&[0; 10_000]).await.unwrap();
    assert!(timeout(SILENCE, read(&mut stream, 10_000)).await.is_err(), "it would take hours");
    proxy.set(Fault::None).await;
    until("the rest passes", || proxy.counts().bytes_down == 25_001).await;
}

#[tokio::test]
async fn slices_arrive_with_pauses_between_them() {
    let proxy = Proxy::start(vec![echo("a").await], &tasks()).await.unwrap();
    let (mut stream, _) = client(&proxy).await;
    proxy.set(Fault::Slice { bytes: 2, pause: Duration::from_millis(5) }).await;
    let began = Instant::now();
    assert!(echoed(&mut stream, "twenty bytes of text").await);
    assert!(began.elapsed() >= Duration::from_millis(45), "{:?}", began.elapsed());
}

#[tokio::test]
async fn upstreams_take_turns_one_that_refuses_is_passed_over_and_they_can_be_replaced() {
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(vec![echo("a").await, refusing, echo("b").await], &tasks()).await.unwrap();
    let mut names = String::new();
    for _ in 0..6 {
        names += &client(&proxy).await.1;
    }
    assert_eq!(names, "abbabb");
    proxy.upstreams(vec![echo("c").await]);
    assert_eq!(client(&proxy).await.1, "c");
    for nobody in [vec![refusing], Vec::new()] {
        proxy.upstreams(nobody);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(is_reset(&mut stream).await);
    }
}

#[tokio::test]
async fn a_dropped_proxy_leaves_no_task_connection_or_port_behind() {
    for fault in [Fault::None, Fault::BlackHole, Fault::Refuse] {
        let tasks = tasks();
        let proxy = Proxy::start(vec![echo("a").await], &tasks).await.unwrap();
        let (mut stream, _) = client(&proxy).await;
        proxy.set(fault).await;
        stream.write_all(b"x").await.unwrap();
        let address = proxy.address();
        drop(proxy);
        assert!(tasks.wait(DEADLINE).await, "{fault:?}: a task runs on");
        let mut rest = Vec::new();
        let _ended = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("the connection ends");
        assert!(TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn a_stop_of_the_tasks_ends_the_proxy() {
    let tasks = tasks();
    let proxy = Proxy::start(vec![echo("a").await], &tasks).await.unwrap();
    let (_stream, _) = client(&proxy).await;
    tasks.stop().request_soft();
    assert!(tasks.wait(DEADLINE).await);
    proxy.set(Fault::Refuse).await;
}
