//! `Carrier`: the HTTP client of one profile.

use std::time::Duration;

use fleet_domain::{PhoneNumber, Timestamp};
use fleet_settings::ExposeSecret;
use fleet_telemetry::Metrics;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::call::{Call, CallList, Ended, PlacedCall};
use crate::create::CreateCall;
use crate::error::{CallError, Operation};
use crate::metrics::CarrierMetrics;
use crate::settings::{Profile, is_sid};

/// A longer answer is none that we asked for.
const BODY_BYTES_MAX: usize = 1024 * 1024;
const PAGE_SIZE: &str = "100";
/// More than 500 calls between two numbers are no longer a search for one call; the list then says that it is incomplete.
const PAGES_MAX: usize = 5;

/// The TLS set-up of the process does not allow a client to be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for the carrier could not be built")]
pub struct CarrierUnusable(#[source] Box<dyn std::error::Error + Send + Sync>);

/// A client of one carrier account. A clone shares the connections.
#[derive(Clone)]
pub struct Carrier {
    http: Client,
    calls_url: String,
    profile: Profile,
    metrics: CarrierMetrics,
}

impl Carrier {
    /// Builds the client; connects nowhere yet.
    pub fn new(profile: Profile, metrics: &Metrics) -> Result<Self, CarrierUnusable> {
        let http = Client::builder()
            .user_agent(concat!("mfa-fleet/", env!("CARGO_PKG_VERSION")))
            // A slow connection must fail while it is still certain that nothing was sent.
            .connect_timeout(profile.connect_timeout)
            .timeout(profile.request_timeout)
            // Another host must never see the credentials, and a repeated POST would be another call.
            .redirect(reqwest::redirect::Policy::none())
            // The environment does not steer where calls are placed.
            .no_proxy()
            // Calls come in bursts, and a new connection costs round trips. But a request on a connection that the other side is
            // just closing ends unclear, so let go of an idle one before a load balancer does (commonly after 60 s).
            .pool_idle_timeout(Duration::from_secs(45))
            .pool_max_idle_per_host(16)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(15))
            .http2_keep_alive_interval(Duration::from_secs(15))
            .http2_keep_alive_timeout(Duration::from_secs(5))
            .http2_keep_alive_while_idle(true)
            .build()
            .map_err(|error| CarrierUnusable(Box::new(error.without_url())))?;
        let base = profile.base_url.as_str().trim_end_matches('/');
        let calls_url = format!("{base}/2010-04-01/Accounts/{}/Calls", profile.account_sid);
        Ok(Self { http, calls_url, profile, metrics: CarrierMetrics::new(metrics) })
    }

    /// The profile it was built from.
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Places a call. Sent once; see [`CallError::class`] for whether a call may have been placed when it fails.
    pub async fn create_call(&self, call: &CreateCall) -> Result<PlacedCall, CallError> {
        let request =
            self.http.post(format!("{}.json", self.calls_url)).form(&call.fields(self.profile.time_limit));
        self.measured(Operation::CreateCall, async {
            let answer = self.exchange(Operation::CreateCall, request).await?;
            PlacedCall::from_fields(&answer.fields())
                .ok_or_else(|| CallError::from_answer(Operation::CreateCall, &answer))
        })
        .await
    }

    /// Hangs a call up, whether it is queued, ringing or answered. May be repeated.
    pub async fn end_call(&self, sid: &str) -> Result<Ended, CallError> {
        self.end_with(sid, "completed").await
    }

    /// Takes a call back that is queued or ringing, and leaves one alone that is answered. May be repeated.
    pub async fn cancel_call(&self, sid: &str) -> Result<Ended, CallError> {
        self.end_with(sid, "canceled").await
    }

    async fn end_with(&self, sid: &str, status: &'static str) -> Result<Ended, CallError> {
        let operation = Operation::EndCall;
        self.measured(operation, async {
            let request = self.http.post(self.call_url(operation, sid)?).form(&[("Status", status)]);
            match self.exchange(operation, request).await {
                Ok(_) => Ok(Ended::Now),
                Err(error) if error.is_call_over() => Ok(Ended::Before),
                Err(error) if error.is_no_such_call() => Ok(Ended::NotFound),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Looks a call up. A call that the carrier does not know is an error of kind `NotFound`.
    pub async fn fetch_call(&self, sid: &str) -> Result<Call, CallError> {
        let operation = Operation::FetchCall;
        self.measured(operation, async {
            let answer = self.exchange(operation, self.http.get(self.call_url(operation, sid)?)).await?;
            Call::from_fields(&answer.fields()).ok_or_else(|| CallError::from_answer(operation, &answer))
        })
        .await
    }

    /// Searches for calls from one number to another, newest first. `started_from` leaves out what started before that day (UTC),
    /// and perhaps what is still queued.
    pub async fn list_calls(
        &self,
        to: &PhoneNumber,
        from: &PhoneNumber,
        started_from: Option<Timestamp>,
    ) -> Result<CallList, CallError> {
        let operation = Operation::ListCalls;
        self.measured(operation, async {
            let mut next = Some(self.search_url(to, from, started_from)?);
            let mut calls = Vec::new();
            for _ in 0..PAGES_MAX {
                let Some(url) = next else { return Ok(CallList { calls, complete: true }) };
                let answer = self.exchange(operation, self.http.get(url)).await?;
                let next_page = answer.fields().text("next_page_uri");
                let page = answer
                    .fields()
                    .list("calls")
                    .ok_or_else(|| CallError::from_answer(operation, &answer))?;
                calls.extend(page.iter().filter_map(Call::from_fields));
                next = next_page.map(|uri| self.page_url(&uri)).transpose()?;
            }
            Ok(CallList { calls, complete: next.is_none() })
        })
        .await
    }

    fn call_url(&self, operation: Operation, sid: &str) -> Result<String, CallError> {
        if is_sid(sid) {
            Ok(format!("{}/{sid}.json", self.calls_url))
        } else {
            Err(CallError::refused(operation, "not a call SID"))
        }
    }

    fn search_url(
        &self,
        to: &PhoneNumber,
        from: &PhoneNumber,
        started_from: Option<Timestamp>,
    ) -> Result<Url, CallError> {
        let mut url = Url::parse(&format!("{}.json", self.calls_url))
            .map_err(|_| CallError::refused(Operation::ListCalls, "not a URL"))?;
        url.query_pairs_mut()
            .append_pair("To", to.e164())
            .append_pair("From", from.e164())
            .append_pair("PageSize", PAGE_SIZE);
        if let Some(day) = started_from.and_then(utc_day) {
            // The sign belongs to the parameter's name; it means "on or after".
            url.query_pairs_mut().append_pair("StartTime>", &day);
        }
        Ok(url)
    }

    /// The credentials go nowhere but to the carrier's own host, whatever a page says.
    fn page_url(&self, uri: &str) -> Result<Url, CallError> {
        let base = &self.profile.base_url;
        base.join(uri)
            .ok()
            .filter(|url| url.origin() == base.origin())
            .ok_or_else(|| CallError::refused(Operation::ListCalls, "next page is at another host"))
    }

    /// One request and its whole answer; an error unless it is a success.
    async fn exchange(&self, operation: Operation, request: RequestBuilder) -> Result<Answer, CallError> {
        let auth_token = self.profile.auth_token.expose_secret();
        let response = request
            .basic_auth(&self.profile.account_sid, Some(auth_token))
            .send()
            .await
            .map_err(|error| CallError::from_transport(operation, error))?;
        let answer = read(response).await.map_err(|error| CallError::from_transport(operation, error))?;
        tracing::debug!(
            operation = operation.label(),
            http_status = answer.http_status,
            request_id = answer.request_id.as_deref().unwrap_or_default(),
            "carrier answered"
        );
        if answer.is_success() { Ok(answer) } else { Err(CallError::from_answer(operation, &answer)) }
    }

    async fn measured<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let started = Instant::now();
        let result = work.await;
        let label = result.as_ref().map_or_else(|error| error.kind().label(), |_| "ok");
        self.metrics.record(operation, label, started.elapsed());
        result
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier").field("profile", &self.profile).finish_non_exhaustive()
    }
}

async fn read(mut response: Response) -> Result<Answer, reqwest::Error> {
    let mut answer = Answer {
        http_status: response.status().as_u16(),
        request_id: header(response.headers(), "twilio-request-id").map(str::to_owned),
        retry_after: header(response.headers(), RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs),
        body: Vec::new(),
    };
    while let Some(chunk) = response.chunk().await? {
        // The rest is left unread: a body cut short is no JSON, and is then treated as unreadable.
        if answer.body.len() + chunk.len() > BODY_BYTES_MAX {
            break;
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `YYYY-MM-DD`.
fn utc_day(at: Timestamp) -> Option<String> {
    let date = time::OffsetDateTime::from_unix_timestamp(at.as_secs()).ok()?.date();
    Some(format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day()))
}
