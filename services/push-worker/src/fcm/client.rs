//! The connections to FCM.
//!
//! One connection of HTTP/2 carries about 100 requests at once, and a client keeps one; so there are several
//! clients, and each request takes the one with the fewest under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use fleet_domain::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Request, Response, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::FcmError;
use super::settings::{Http2, Profile};

/// A longer answer is none of FCM's.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What a pause counts as that nobody can read: too long for anything that waits for a person.
const LONG_PAUSE: Duration = Duration::from_mins(1);
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The TLS set-up of the process does not allow a client to be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for FCM could not be built")]
pub(crate) struct Unusable(#[from] reqwest::Error);

/// A fixed number of clients.
pub(crate) struct Connections {
    all: Box<[Connection]>,
}

struct Connection {
    http: Client,
    /// Requests under way.
    busy: AtomicUsize,
}

impl Connections {
    /// Builds the clients; connects nowhere yet.
    pub(crate) fn new(profile: &Profile) -> Result<Self, Unusable> {
        let connection = |_| Ok(Connection { http: client(profile)?, busy: AtomicUsize::new(0) });
        let all: Result<_, Unusable> = (0..profile.connections.max(1)).map(connection).collect();
        Ok(Self { all: all? })
    }

    /// Posts a message at `now` and reads the whole answer.
    pub(crate) async fn post(
        &self,
        url: Url,
        authorization: HeaderValue,
        body: Vec<u8>,
        (now, timeout): (Timestamp, Duration),
    ) -> Result<(), FcmError> {
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(reqwest::header::AUTHORIZATION, authorization);
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        *request.timeout_mut() = Some(timeout);
        *request.body_mut() = Some(body.into());
        let turn = self.take();
        let response = turn.0.http.execute(request).await.map_err(|e| FcmError::from_transport(&e))?;
        read(response, now).await
    }

    /// Takes the least busy connection.
    fn take(&self) -> Turn<'_> {
        let mut least = &self.all[0];
        let mut fewest = usize::MAX;
        for connection in &self.all {
            let busy = connection.busy.load(Ordering::Relaxed);
            if busy < fewest {
                (least, fewest) = (connection, busy);
            }
        }
        least.busy.fetch_add(1, Ordering::Relaxed);
        Turn(least)
    }
}

/// One request's turn on a connection; counted until it is dropped, however the request ends.
struct Turn<'a>(&'a Connection);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn client(profile: &Profile) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .user_agent(concat!("mfa-fleet/", env!("CARGO_PKG_VERSION")))
        // A slow connection must fail while it is still certain that nothing was sent.
        .connect_timeout(profile.connect_timeout)
        .timeout(profile.request_timeout)
        // Another host must never see the access token.
        .redirect(reqwest::redirect::Policy::none())
        // The environment does not steer where pushes go.
        .no_proxy()
        // What is tried again, and how often, is decided in `sender`. Requests that the server never looked at
        // (refused streams, a connection that is being closed) go again by themselves: that is the client's default.
        .pool_idle_timeout(Duration::from_mins(2))
        // Only where HTTP/1.1 is spoken: how many connections stay open between bursts.
        .pool_max_idle_per_host(100)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(15))
        // A connection that died silently would swallow up to 100 pushes at a time.
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(5))
        .http2_keep_alive_while_idle(true);
    match profile.http2 {
        Http2::Auto => builder.build(),
        Http2::PriorKnowledge => builder.http2_prior_knowledge().build(),
    }
}

/// FCM's answer to a message that it took.
#[derive(Deserialize)]
struct Accepted {
    #[serde(rename = "name")]
    _name: IgnoredAny,
}

async fn read(mut response: Response, now: Timestamp) -> Result<(), FcmError> {
    let status = response.status();
    let after = pause(response.headers(), now);
    // To the end, because an answer that is dropped unread resets its stream.
    let body = body(&mut response).await.map_err(|error| FcmError::from_transport(&error))?;
    if !status.is_success() {
        return Err(FcmError::from_answer(status.as_u16(), after, &body));
    }
    match serde_json::from_slice::<Accepted>(&body) {
        Ok(_) => Ok(()),
        Err(_) => Err(FcmError::Unclear { http_status: Some(status.as_u16()) }),
    }
}

async fn body(response: &mut Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        // A body cut short is no JSON, and then counts as unreadable.
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The pause that the answer asks for, if it does: in seconds, or as the date of its end.
fn pause(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().unwrap_or_default().trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    Some(seconds.or_else(|| until(text, now)).unwrap_or(LONG_PAUSE))
}

/// How far an HTTP date is ahead.
fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let since_1970 = httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::default().plus(since_1970).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fcm::settings::tests::settings;

    #[test]
    fn p10_a_pause_is_in_seconds_or_until_a_date_and_a_long_one_where_it_is_neither() {
        let now = Timestamp::from_micros(1_792_567_680_000_000);
        for (value, expected) in [
            (None, None),
            (Some("2"), Some(Duration::from_secs(2))),
            (Some(" 0 "), Some(Duration::ZERO)),
            (Some("Wed, 21 Oct 2026 07:28:07 GMT"), Some(Duration::from_secs(7))),
            (Some("Wednesday, 21-Oct-26 07:28:07 GMT"), Some(Duration::from_secs(7))),
            (Some("Wed, 21 Oct 2026 07:27:00 GMT"), Some(Duration::ZERO)),
            (Some("Wed, 41 Oct 2026 07:28:07 GMT"), Some(LONG_PAUSE)),
            (Some(""), Some(LONG_PAUSE)),
            (Some("-1"), Some(LONG_PAUSE)),
        ] {
            let headers =
                value.map(|text| (RETRY_AFTER, HeaderValue::from_static(text))).into_iter().collect();
            assert_eq!(pause(&headers, now), expected, "{value:?}");
        }
    }

    #[test]
    fn each_request_takes_the_connection_with_the_fewest_under_way() {
        fleet_keys::install_tls_provider();
        let connections = Connections::new(&settings("http://127.0.0.1:9").profile().unwrap()).unwrap();
        let busy = || connections.all.iter().map(|c| c.busy.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let first = connections.take();
        let second = connections.take();
        let third = connections.take();
        assert_eq!(busy(), [2, 1]);
        drop(first);
        let fourth = connections.take();
        drop((second, third, fourth));
        assert_eq!(busy(), [0, 0]);
    }
}
