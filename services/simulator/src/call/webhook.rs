//! Requests to the customer: signed, with Twilio's time-outs and retries (`overrides`).
//!
//! Time-outs here belong to the customer's network, not to the carrier's: they have a speed of their own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::time::{Instant, timeout_at};

use super::overrides::Overrides;
use super::signature::{self, Secret};
use super::twiml::MAX_BYTES;

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
    /// `rp` in the URL's fragment is none of Twilio's policies.
    BadPolicy,
    Connect,
    /// The answer, or its next packet, did not come in time.
    Timeout,
    /// All tries together took too long.
    TotalTimeout,
    /// The connection broke before an answer began.
    Protocol,
    /// The answer began and did not end.
    Partial,
    TooManyRedirects,
}

impl Trouble {
    /// Twilio's error code.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::BadUrl => 11100,
            Self::BadPolicy => 11243,
            Self::Connect => 11205,
            Self::Timeout | Self::Partial => 11200,
            Self::TotalTimeout => 11203,
            Self::Protocol => 11206,
            Self::TooManyRedirects => 11215,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::BadUrl => "bad_url",
            Self::BadPolicy => "bad_policy",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::TotalTimeout => "total_timeout",
            Self::Protocol => "protocol",
            Self::Partial => "partial",
            Self::TooManyRedirects => "too_many_redirects",
        }
    }

    /// What trouble is called once an answer has begun: Twilio does not retry after a part of one.
    fn after_the_start(self) -> Self {
        match self {
            Self::Connect | Self::Timeout | Self::Protocol => Self::Partial,
            Self::BadUrl | Self::BadPolicy | Self::TotalTimeout | Self::Partial | Self::TooManyRedirects => {
                self
            }
        }
    }
}

/// Sends requests to customers.
pub(crate) struct Webhooks {
    /// By connect time-out and whether TLS names the server, both of which are a client's own.
    clients: Mutex<HashMap<(Duration, bool), Client>>,
    secret: Secret,
    /// How much faster than life the time-outs are.
    speed: f64,
}

/// One request on its way, however often it is tried.
struct Sending<'a> {
    client: Client,
    secret: &'a Secret,
    hook: &'a Hook,
    parameters: &'a Parameters,
    idempotency_token: &'a str,
    overrides: Overrides,
    give_up: Instant,
}

impl Webhooks {
    pub(crate) fn new(secret: Secret, speed: f64) -> Self {
        Self { clients: Mutex::default(), secret, speed }
    }

    /// Sends until it is answered or Twilio would give up.
    pub(crate) async fn send(&self, hook: &Hook, parameters: &Parameters) -> Outcome {
        self.send_as(hook, parameters, &crate::ids::uuid().to_string()).await
    }

    /// Sends as the webhook of this token: whatever is sent of one webhook carries the same.
    pub(crate) async fn send_as(
        &self,
        hook: &Hook,
        parameters: &Parameters,
        idempotency_token: &str,
    ) -> Outcome {
        let overrides = match Overrides::of(&hook.url) {
            Ok(overrides) => overrides.faster(self.speed),
            Err(trouble) => return Outcome { result: Err(trouble), tries: 0 },
        };
        let Ok(client) = self.client(&overrides) else {
            return Outcome { result: Err(Trouble::Connect), tries: 0 };
        };
        let give_up = Instant::now() + overrides.total;
        let secret = &self.secret;
        Sending { client, secret, hook, parameters, idempotency_token, overrides, give_up }.outcome().await
    }

    fn client(&self, overrides: &Overrides) -> reqwest::Result<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (overrides.connect, overrides.sni);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .connect_timeout(overrides.connect)
            .tls_sni(overrides.sni)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("TwilioProxy/1.1")
            .build()?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

impl Sending<'_> {
    async fn outcome(self) -> Outcome {
        let mut tries = 0;
        loop {
            tries += 1;
            let result = self.follow().await;
            let is_last = tries > self.overrides.retries || Instant::now() >= self.give_up;
            if is_last || !self.overrides.retries(&result) {
                return Outcome { result, tries };
            }
        }
    }

    /// One try, with its redirects. A redirected request is a GET and does not carry the digits again.
    async fn follow(&self) -> Result<Reply, Trouble> {
        let mut request = self.request(self.hook, self.parameters)?;
        let mut url = self.hook.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.in_time(request.send()).await?;
            let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| answer.status().is_redirection()) else {
                return self.reply(answer, url).await;
            };
            url = answer.url().join(location).map_err(|_| Trouble::BadUrl)?.into();
            let without_digits =
                |(name, _): &&(&'static str, String)| !matches!(*name, "Digits" | "FinishedOnKey");
            let parameters = self.parameters.iter().filter(without_digits).cloned().collect();
            request = self.request(&Hook { url: url.clone(), method: Method::Get }, &parameters)?;
        }
        Err(Trouble::TooManyRedirects)
    }

    fn request(&self, hook: &Hook, parameters: &Parameters) -> Result<RequestBuilder, Trouble> {
        let mut url = Url::parse(&hook.url).map_err(|_| Trouble::BadUrl)?;
        url.set_fragment(None);
        let request = match hook.method {
            Method::Get => {
                url.query_pairs_mut().extend_pairs(parameters);
                let signature = signature::sign(self.secret, url.as_str(), &[]);
                self.client.get(url).header("X-Twilio-Signature", signature)
            }
            Method::Post => {
                let posted: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let signature = signature::sign(self.secret, &hook.url, &posted);
                self.client.post(url).form(&posted).header("X-Twilio-Signature", signature)
            }
        };
        let request = match self.secret.settings() {
            Some(settings) => request.header("X-Twilio-Webhooks-Signature-Settings", settings),
            None => request,
        };
        Ok(request.header("I-Twilio-Idempotency-Token", self.idempotency_token))
    }

    async fn reply(&self, mut answer: Response, url: String) -> Result<Reply, Trouble> {
        let status = answer.status().as_u16();
        let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = self.in_time(answer.chunk()).await.map_err(Trouble::after_the_start)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                body.truncate(MAX_BYTES + 1);
                break;
            }
        }
        Ok(Reply { status, content_type, body, url })
    }

    /// Waits for the next packet, as long as `rt` and `tt` allow. Connecting counts as waiting for the first one.
    async fn in_time<T>(&self, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, Trouble> {
        let next_packet = Instant::now() + self.overrides.read;
        match timeout_at(next_packet.min(self.give_up), work).await {
            Ok(done) => done.map_err(|error| trouble(&error)),
            Err(_) if self.give_up <= next_packet => Err(Trouble::TotalTimeout),
            Err(_) => Err(Trouble::Timeout),
        }
    }
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
