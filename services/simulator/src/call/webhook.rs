//! Requests to the customer: signed, with Twilio's time-outs, retries and URL-fragment overrides.
//!
//! Time-outs here are real time: they belong to the customer's network, not to the carrier's. Of the
//! overrides, `ct`, `sni` and `e` are accepted and change nothing.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::time::Instant;

use super::signature;
use super::twiml::MAX_BYTES;

/// Twilio's hard cap over all tries of one request.
const TOTAL: Duration = Duration::from_secs(15);
const MAX_REDIRECTS: u32 = 10;

/// Where to send a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// As the customer wrote it, fragment included.
    pub(crate) url: String,
    pub(crate) method: Method,
}

/// How to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

impl Method {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("GET") {
            Some(Self::Get)
        } else if text.eq_ignore_ascii_case("POST") {
            Some(Self::Post)
        } else {
            None
        }
    }
}

/// Names and values, in the order in which they are sent.
pub(crate) type Parameters = Vec<(&'static str, String)>;

/// What came of a request.
pub(crate) struct Outcome {
    pub(crate) result: Result<Reply, Trouble>,
    /// How often it was tried.
    pub(crate) tries: u32,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    /// At most one byte more than TwiML may have.
    pub(crate) body: Vec<u8>,
    /// The URL that answered, after redirects.
    pub(crate) url: String,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    BadUrl,
    Connect,
    Timeout,
    Protocol,
    TooManyRedirects,
}

impl Trouble {
    /// Twilio's error code.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::BadUrl => 11100,
            Self::Connect => 11205,
            Self::Timeout => 11200,
            Self::Protocol => 11206,
            Self::TooManyRedirects => 11215,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::BadUrl => "bad_url",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::TooManyRedirects => "too_many_redirects",
        }
    }
}

/// What the URL's fragment asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Overrides {
    retries: u32,
    retry_on: Vec<Cause>,
    read: Duration,
    total: Duration,
}

/// What can be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Connect,
    ReadTimeout,
    ClientError,
    ServerError,
}

impl Cause {
    const ALL: [(&str, Self); 4] = [
        ("ct", Self::Connect),
        ("rt", Self::ReadTimeout),
        ("4xx", Self::ClientError),
        ("5xx", Self::ServerError),
    ];

    fn of(result: &Result<Reply, Trouble>) -> Option<Self> {
        match result {
            Ok(reply) if reply.status / 100 == 4 => Some(Self::ClientError),
            Ok(reply) if reply.status / 100 == 5 => Some(Self::ServerError),
            Err(Trouble::Connect) => Some(Self::Connect),
            Err(Trouble::Timeout) => Some(Self::ReadTimeout),
            Ok(_) | Err(Trouble::BadUrl | Trouble::Protocol | Trouble::TooManyRedirects) => None,
        }
    }
}

impl Overrides {
    fn of(url: &str) -> Self {
        let mut overrides = Self { retries: 1, retry_on: vec![Cause::Connect], read: TOTAL, total: TOTAL };
        let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
        for (name, value) in form_urlencoded::parse(fragment.as_bytes()) {
            match &*name {
                "rc" => overrides.retries = value.parse().unwrap_or(1).min(5),
                "rp" => {
                    let has = |wanted: &str| value.split(',').any(|word| word == wanted || word == "all");
                    let causes = Cause::ALL.into_iter().filter(|(word, _)| has(word));
                    overrides.retry_on = causes.map(|(_, cause)| cause).collect();
                }
                "rt" => overrides.read = millis(&value),
                "tt" => overrides.total = millis(&value),
                _ => {}
            }
        }
        overrides
    }

    fn retries(&self, result: &Result<Reply, Trouble>) -> bool {
        Cause::of(result).is_some_and(|cause| self.retry_on.contains(&cause))
    }
}

fn millis(value: &str) -> Duration {
    value.parse().map_or(TOTAL, |millis: u64| Duration::from_millis(millis.clamp(100, 15_000)))
}

/// Sends requests to customers.
pub(crate) struct Webhooks {
    client: Client,
    auth_token: String,
}

impl Webhooks {
    pub(crate) fn new(auth_token: &str) -> reqwest::Result<Self> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(TOTAL)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("TwilioProxy/1.1")
            .build()?;
        Ok(Self { client, auth_token: auth_token.to_owned() })
    }

    /// Sends until it is answered or Twilio would give up.
    pub(crate) async fn send(&self, hook: &Hook, parameters: &Parameters) -> Outcome {
        let overrides = Overrides::of(&hook.url);
        let idempotency_token = crate::ids::uuid().to_string();
        let give_up = Instant::now() + overrides.total;
        let mut tries = 0;
        loop {
            tries += 1;
            let limit = give_up.min(Instant::now() + overrides.read);
            let attempt = self.follow(hook, parameters, &idempotency_token);
            let result = tokio::time::timeout_at(limit, attempt).await.unwrap_or(Err(Trouble::Timeout));
            if tries > overrides.retries || Instant::now() >= give_up || !overrides.retries(&result) {
                return Outcome { result, tries };
            }
        }
    }

    /// One try, with its redirects. A redirected request is a GET and does not carry the digits again.
    async fn follow(&self, hook: &Hook, parameters: &Parameters, token: &str) -> Result<Reply, Trouble> {
        let mut request = self.request(hook, parameters)?;
        let mut url = hook.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = request.header("I-Twilio-Idempotency-Token", token).send().await;
            let answer = answer.map_err(|error| trouble(&error))?;
            let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| answer.status().is_redirection()) else {
                return reply(answer, url).await;
            };
            url = answer.url().join(location).map_err(|_| Trouble::BadUrl)?.into();
            let without_digits =
                |(name, _): &&(&'static str, String)| !matches!(*name, "Digits" | "FinishedOnKey");
            let parameters = parameters.iter().filter(without_digits).cloned().collect();
            request = self.request(&Hook { url: url.clone(), method: Method::Get }, &parameters)?;
        }
        Err(Trouble::TooManyRedirects)
    }

    fn request(&self, hook: &Hook, parameters: &Parameters) -> Result<RequestBuilder, Trouble> {
        let mut url = Url::parse(&hook.url).map_err(|_| Trouble::BadUrl)?;
        url.set_fragment(None);
        Ok(match hook.method {
            Method::Get => {
                url.query_pairs_mut().extend_pairs(parameters);
                let signature = signature::sign(&self.auth_token, url.as_str(), &[]);
                self.client.get(url).header("X-Twilio-Signature", signature)
            }
            Method::Post => {
                let posted: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let signature = signature::sign(&self.auth_token, &hook.url, &posted);
                self.client.post(url).form(&posted).header("X-Twilio-Signature", signature)
            }
        })
    }
}

async fn reply(mut answer: Response, url: String) -> Result<Reply, Trouble> {
    let status = answer.status().as_u16();
    let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| trouble(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            body.truncate(MAX_BYTES + 1);
            break;
        }
    }
    Ok(Reply { status, content_type, body, url })
}

fn trouble(error: &reqwest::Error) -> Trouble {
    if error.is_connect() {
        Trouble::Connect
    } else if error.is_timeout() {
        Trouble::Timeout
    } else {
        Trouble::Protocol
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_fragment_only_a_failed_connection_is_retried_once() {
        let overrides = Overrides::of("https://host/path?q=1");
        assert_eq!(overrides.retries, 1);
        assert!(overrides.retries(&Err(Trouble::Connect)));
        assert!(!overrides.retries(&Err(Trouble::Timeout)));
        assert!(!overrides.retries(&Ok(answered(503))));
    }

    #[test]
    fn the_fragment_sets_count_policy_and_time_outs() {
        let all = Overrides::of("https://host/path#rc=3&rp=all&rt=50&tt=99999");
        assert_eq!((all.retries, all.read, all.total), (3, Duration::from_millis(100), TOTAL));
        for result in [Err(Trouble::Connect), Err(Trouble::Timeout), Ok(answered(503)), Ok(answered(404))] {
            assert!(all.retries(&result));
        }
        assert!(!all.retries(&Ok(answered(204))));
        let some = Overrides::of("https://host/path#rc=9&rp=rt,5xx");
        assert_eq!(some.retries, 5);
        assert!(!some.retries(&Err(Trouble::Connect)) && !some.retries(&Ok(answered(404))));
        assert!(some.retries(&Err(Trouble::Timeout)) && some.retries(&Ok(answered(500))));
    }

    fn answered(status: u16) -> Reply {
        Reply { status, content_type: None, body: Vec::new(), url: String::new() }
    }
}
