//! What strangers may send: every answer is a clear refusal, none a server error, and no challenge moves.

use std::sync::Arc;
use std::time::Duration;

use fleet_domain::{AskedStep, Challenge, ChallengeKey, Channel, Event, Target};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::phone::Phone;
use crate::support::{Fleet, PUBLIC_URL, SID, SIGNATURE, by, path_of, signature};

const FORM: &str = "content-type: application/x-www-form-urlencoded";
/// How long an answer to a whole request is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Method and path, headers, body.
type Request = (String, Vec<String>, String);

/// A gateway, one challenge of each kind, and a request to each route that is valid and has no effect any more.
struct Scene {
    fleet: Fleet,
    keys: Vec<ChallengeKey>,
    requests: Vec<Request>,
}

impl Scene {
    async fn new() -> Self {
        let fleet = Fleet::start().await;
        let call = fleet.dialing(None).await;
        let links = fleet.engine.links();
        let (twiml, input) = (links.twiml_url(&call, 1), links.input_url(&call, 1, 9));
        let status = links.status_url(&call, 1).split('#').next().unwrap().to_owned();
        assert_eq!(fleet.call(&twiml, &[]).await.status, 200);

        let phone = Phone::new();
        let user = fleet.enroll("eve", &[&phone]).await;
        let push = [AskedStep { channel: Channel::Push, target: Target::Primary, timeout: None }];
        let open = fleet.pushed(&user, &push, None).await;
        fleet.apply(&open, Event::Opened).await;
        let over = fleet.pushed(&user, &[by(Channel::Push)], None).await;
        assert_eq!(fleet.answer(&over, &phone, &json!({ "decision": "deny" })).await.status, 200);

        let mut requests = Vec::new();
        for (url, more) in
            [(twiml, None), (input, Some(("FinishedOnKey", "#"))), (status, Some(("CallStatus", "ringing")))]
        {
            let fields: Vec<_> = std::iter::once(("CallSid", SID)).chain(more).collect();
            let body = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", value.replace('#', "%23")))
                .collect::<Vec<_>>();
            let signed = format!("{SIGNATURE}: {}", signature(&url, &fields));
            let path = url.strip_prefix(PUBLIC_URL).unwrap();
            requests.push((format!("POST {path}"), vec![FORM.into(), signed], body.join("&")));
        }
        let opened = path_of(&open, "opened");
        for (method, path) in [("GET", "/app/challenges"), ("POST", &opened)] {
            let proof = format!("authorization: Device {}", fleet.proof(&phone, method, path));
            requests.push((format!("{method} {path}"), vec![proof], String::new()));
        }
        let past = json!({ "exp": fleet.engine.now().as_secs() - 1 });
        for (key, changes) in [(&over, json!({})), (&open, past)] {
            let claims = fleet.answer_claims(key, &phone, &changes).await;
            let jws = phone.sign("mfa-answer+jwt", &claims);
            let head = format!("POST {}", path_of(key, "answer"));
            requests.push((head, vec!["content-type: application/jose".into()], jws));
        }
        Self { fleet, keys: vec![call, open, over], requests }
    }

    async fn challenges(&self) -> Vec<Challenge> {
        let mut challenges = Vec::new();
        for key in &self.keys {
            challenges.push(self.fleet.stored(key).await);
        }
        challenges
    }
}

fn raw((head, headers, body): &Request) -> Vec<u8> {
    let (headers, length) = (headers.join("\r\n"), body.len());
    format!("{head} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n\r\n{body}").into_bytes()
}

/// The status of the answer; `None` where the connection is closed without one. A request that is not whole gets none
/// until its sender has gone, which is after `wait`.
async fn status(address: &str, request: &[u8], wait: Duration) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The gateway may refuse and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut start = [0; 12];
    if tokio::time::timeout(wait, stream.readable()).await.is_err() {
        let _ = stream.shutdown().await;
    }
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut start)).await;
    read.expect("an answer, or the end").ok()?;
    assert!(start.starts_with(b"HTTP/1."), "{start:?}");
    str::from_utf8(&start[9..]).unwrap().parse().ok()
}

type Case = (Vec<u8>, u16);

fn plain(line: &str) -> Vec<u8> {
    format!("{line}\r\nhost: x\r\n\r\n").into_bytes()
}

fn body(line: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n{body}").into_bytes()
}

fn with(request: &Request, header: &str) -> Vec<u8> {
    let mut request = request.clone();
    request.1.push(header.to_owned());
    raw(&request)
}

/// Paths, versions and heads.
fn of_heads() -> Vec<Case> {
    vec![
        // Paths.
        (plain("GET /app/challenges/ HTTP/1.1"), 404),
        (plain("GET //app/challenges HTTP/1.1"), 404),
        (plain("GET /app/../app/challenges HTTP/1.1"), 404),
        (plain("GET /%61pp/challenges HTTP/1.1"), 404),
        (plain("GET /app/challenges?a=%ff&a=%zz&&=%00 HTTP/1.1"), 401),
        (plain("GET http://elsewhere.example/app/challenges HTTP/1.1"), 401),
        (plain("GET app/challenges HTTP/1.1"), 400),
        (plain("GET /app/chal lenges HTTP/1.1"), 400),
        (plain("GET /app/\x01 HTTP/1.1"), 400),
        (plain("OPTIONS * HTTP/1.1"), 404),
        (plain("CONNECT elsewhere.example:443 HTTP/1.1"), 404),
        (plain("POST /app/challenges/operations/%00/answer HTTP/1.1"), 404),
        (plain("POST /app/challenges/operations/%zz/answer HTTP/1.1"), 404),
        (plain("POST /app/challenges/%ff%fe/%c0%af/opened HTTP/1.1"), 404),
        (plain("POST /app/challenges/operations/..%2f..%2f/opened HTTP/1.1"), 404),
        (plain(&format!("POST /twilio/calls/%2e/{}/1/%00 HTTP/1.1", "9".repeat(400))), 404),
        (plain(&format!("GET /{} HTTP/1.1", "a".repeat(9_000))), 404),
        // Versions and heads.
        (plain("GET / HTTP/3.0"), 400),
        (plain("GET /"), 400),
        (plain(&format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(20_000))), 431),
        (plain(&format!("GET / HTTP/1.1{}", "\r\nx: y".repeat(200))), 431),
        (plain("GET / HTTP/1.1\r\nx: \0"), 400),
        (plain("GET / HTTP/1.1\r\n: y"), 400),
        (b"GET /app/challenges HTTP/1.1\r\nhost: x\r\nauthorization: Device \xff\xfe\r\n\r\n".to_vec(), 401),
    ]
}

/// Lengths and encodings of a body.
fn of_bodies(answer: &Request, twiml: &Request) -> Vec<Case> {
    let answering = &answer.0;
    vec![
        (body(&twiml.0, &format!("{FORM}\r\n{SIGNATURE}: \u{fc}\r\ncontent-length: 9"), "CallSid=x"), 403),
        (body(answering, "content-type: application/jose\r\ncontent-length: -1", ""), 400),
        (body(answering, "content-type: application/jose\r\ncontent-length: ten", ""), 400),
        (body(answering, "content-type: application/jose\r\ncontent-length: 99999999999999999999", ""), 400),
        (body(answering, "content-type: application/jose\r\ncontent-length: 999999999999999999", "x"), 413),
        (
            body(answering, "content-type: application/jose\r\ncontent-length: 1\r\ncontent-length: 2", "xx"),
            400,
        ),
        (body(answering, "content-type: application/jose\r\ntransfer-encoding: gzip", "xx"), 400),
        (body(answering, "content-type: application/jose\r\ntransfer-encoding: chunked", "zz\r\n"), 400),
        (
            body(
                answering,
                "content-type: application/jose\r\ntransfer-encoding: chunked",
                "2\r\n\u{fc}\r\n0\r\n\r\n",
            ),
            400,
        ),
        (
            body(
                answering,
                "content-type: application/jose\r\ntransfer-encoding: chunked",
                &format!("4000\r\n{}", "x".repeat(0x4000)),
            ),
            413,
        ),
        (body(answering, "content-type: application/jose\r\ncontent-length: 5", "x"), 408),
        (body(answering, "content-type: application/json\r\ncontent-length: 2", "{}"), 415),
        (body(answering, "content-length: 2", "{}"), 415),
        (body(answering, "content-type: \u{fc}\r\ncontent-length: 2", "{}"), 415),
        (with(answer, "content-encoding: gzip"), 415),
        (with(twiml, "content-encoding: br"), 415),
        (
            body(&twiml.0, &format!("{}\r\ncontent-type: text/plain\r\ncontent-length: 0", twiml.1[1]), ""),
            415,
        ),
        (body(&twiml.0, &format!("{}\r\n{FORM}\r\ncontent-length: 3", twiml.1[1]), "%zz"), 403),
        (body(&twiml.0, &format!("{}\r\n{FORM}\r\ncontent-length: 60", twiml.1[1]), "CallSid=x"), 408),
        (
            body(
                &twiml.0,
                &format!("{}\r\n{FORM}\r\ncontent-length: 9000", twiml.1[1]),
                &"a=b&".repeat(2_250),
            ),
            413,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_refused_clearly() {
    let scene = Scene::new().await;
    let before = scene.challenges().await;
    let [twiml, input, status_path, .., answer] = &scene.requests[..] else { panic!("all routes") };
    let (call, answering) = (&twiml.0["POST ".len()..], &answer.0);
    let mut cases = vec![
        // Valid, without an effect any more: the ground that the others stand on.
        (raw(twiml), 200),
        (raw(input), 200),
        (raw(status_path), 204),
        (raw(answer), 409),
    ];
    cases.extend(of_heads());
    cases.extend(of_bodies(answer, twiml));
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post"] {
        cases.push((plain(&format!("{method} {call} HTTP/1.1")), 405));
        cases.push((plain(&format!("{method} {} HTTP/1.1", &answering["POST ".len()..])), 405));
    }
    let mut other = Vec::new();
    for (request, expected) in cases {
        let found = status(&scene.fleet.address, &request, PATIENCE).await;
        if found != Some(expected) {
            other.push(format!("{found:?}, not {expected}: {:.300}", String::from_utf8_lossy(&request)));
        }
    }
    assert!(other.is_empty(), "{}", other.join("\n\n"));
    assert_eq!(scene.challenges().await, before);
    scene.fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_form_with_a_field_twice_is_no_fault() {
    let scene = Scene::new().await;
    let url = format!("{PUBLIC_URL}{}", &scene.requests[0].0["POST ".len()..]);
    for fields in [
        [("CallSid", SID), ("CallSid", "CA00000000000000000000000000000008"), ("Digits", "")],
        [("CallSid", ""), ("CallStatus", "ringing"), ("CallStatus", "\0")],
        [("CallSid", SID), ("CallStatus", "completed"), ("CallStatus", "ringing")],
        [("", ""), ("", ""), ("CallSid", "\u{1F4DE}\0")],
    ] {
        for suffix in ["", "/input/1", "/input/255", "/status"] {
            let reply = scene.fleet.carrier(&format!("{url}{suffix}"), &fields).await;
            assert!(reply.status < 500, "{suffix} {fields:?}: {reply:?}");
        }
    }
    scene.fleet.end().await;
}

/// A xorshift generator: the same requests in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// Pieces that parsers stumble over.
const PIECES: [&[u8]; 16] = [
    b"\r\n",
    b"\n",
    b"\0",
    b"%",
    b"%00",
    b"%ff",
    b"..",
    b"/",
    b"\xff\xfe",
    b"?a=%zz&a",
    b"&CallSid=CA2",
    b"\r\ncontent-length: 7\r\n",
    b"\r\ntransfer-encoding: chunked\r\n",
    b"\r\nexpect: 100-continue\r\n",
    b".",
    b"{\"a\":[[[[",
];

fn mutated(random: &mut Random, mut request: Vec<u8>) -> Vec<u8> {
    for _ in 0..=random.below(3) {
        let at = random.below(request.len());
        let end = (at + random.below(40)).min(request.len());
        match random.below(6) {
            0 => request[at] ^= 1 << random.below(8),
            1 => drop(request.splice(at..at, PIECES[random.below(PIECES.len())].to_vec())),
            2 => drop(request.splice(at..end, PIECES[random.below(PIECES.len())].to_vec())),
            3 => drop(request.drain(at..end)),
            4 => {
                let copy = request[at..end].to_vec();
                drop(request.splice(at..at, copy));
            }
            _ => drop(request.splice(at..at, vec![request[at]; random.below(20_000)])),
        }
        if request.is_empty() {
            request.push(b' ');
        }
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_mutated_requests_move_nothing_and_break_nothing() {
    const COUNT: usize = 5_000;
    const AT_ONCE: usize = 24;
    let scene = Scene::new().await;
    let before = scene.challenges().await;
    let address: Arc<str> = scene.fleet.address.as_str().into();
    let mut random = Random(0x05ee_d0fa_ca11);
    let mut running = JoinSet::new();
    let mut answered = 0;
    let judge = |(request, found): (Vec<u8>, Option<u16>)| {
        assert!(found.is_none_or(|status| status < 500), "{found:?}: {}", request.escape_ascii());
        usize::from(found.is_some())
    };
    for turn in 0..COUNT {
        let request = mutated(&mut random, raw(&scene.requests[turn % scene.requests.len()]));
        if running.len() >= AT_ONCE {
            answered += judge(running.join_next().await.unwrap().unwrap());
        }
        let address = address.clone();
        running.spawn(async move {
            let found = status(&address, &request, Duration::from_millis(200)).await;
            (request, found)
        });
    }
    while let Some(done) = running.join_next().await {
        answered += judge(done.unwrap());
    }
    assert!(answered > COUNT / 2, "only {answered} were whole enough to be answered");
    assert_eq!(scene.challenges().await, before);
    scene.fleet.end().await;
}
