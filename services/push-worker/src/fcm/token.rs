//! Access tokens. One task fetches them ahead of their expiry; whoever sends a push takes the present one and
//! waits only before the first.

use std::sync::Arc;
use std::time::Duration;

use fleet_domain::Timestamp;
use fleet_lifecycle::{Clock, Stop};
use fleet_settings::{ExposeSecret, SecretString};
use fleet_telemetry::ReadyFlag;
use gcp_auth::{CustomServiceAccount, TokenProvider};
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::metrics::TokenMetrics;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long before its expiry a token is replaced.
const EARLY: Duration = Duration::from_mins(5);
/// How long one fetch may take: `gcp_auth` itself waits for ever.
const FETCH: Duration = Duration::from_secs(5);
/// The longest pause between failed fetches.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After a token was replaced because FCM had refused it, the next one is not replaced for that reason within
/// this time: where a new token fares no better, the token is not what is wrong.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);

/// A token as Google gave it.
pub(crate) struct Fetched {
    /// The header `Authorization` that it makes.
    pub(crate) authorization: HeaderValue,
    /// How long it is good for.
    pub(crate) lifetime: Duration,
}

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The token endpoint could not be reached or refused the service account.
    #[error("the token endpoint gave none")]
    NotGiven(#[from] gcp_auth::Error),
    /// The token endpoint did not answer in time.
    #[error("the token endpoint did not answer in time")]
    Late,
    /// The text that came as a token can't be one.
    #[error("what the token endpoint gave is no token")]
    NotAToken(#[from] InvalidHeaderValue),
    /// The thread that reads the key died.
    #[error("the service account's key could not be read")]
    NotRead(#[from] tokio::task::JoinError),
}

/// Where tokens come from.
pub(crate) trait TokenSource: Send + Sync + 'static {
    /// Asks for a new token.
    fn fetch(&self) -> impl Future<Output = Result<Fetched, TokenError>> + Send;
}

/// A service account's key.
#[derive(Clone, Debug)]
pub(crate) struct ServiceAccount {
    json: SecretString,
    project: Option<String>,
}

impl ServiceAccount {
    /// Checks the key; the error says what is wrong with it, without a value.
    pub(crate) fn parse(json: SecretString) -> Result<Self, &'static str> {
        let account = CustomServiceAccount::from_json(json.expose_secret()).map_err(|error| match error {
            gcp_auth::Error::Json(..) => "it lacks private_key, client_email or token_uri, or is no JSON",
            gcp_auth::Error::Io(..) => {
                "this machine has no root certificates to check the token endpoint's with"
            }
            gcp_auth::Error::Str(_)
            | gcp_auth::Error::Http(..)
            | gcp_auth::Error::Other(..)
            | gcp_auth::Error::NoAuthMethod(..) => "its private_key is no RSA key in PKCS#8 and PEM",
        })?;
        let project = account.project_id().map(str::to_owned);
        Ok(Self { json, project })
    }

    /// The project that the key belongs to.
    pub(crate) fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }
}

impl TokenSource for ServiceAccount {
    async fn fetch(&self) -> Result<Fetched, TokenError> {
        let json = self.json.clone();
        // A new one each time, because it hands out the token that it holds until shortly before its expiry. On
        // a thread of its own, because it reads the system's root certificates.
        let account =
            tokio::task::spawn_blocking(move || CustomServiceAccount::from_json(json.expose_secret()))
                .await??;
        let token = account.token(&[SCOPE]).await?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.as_str()))?;
        authorization.set_sensitive(true);
        // The system's clock, by which the expiry was computed, and not the fleet's.
        let expires_at = Timestamp::from_micros(token.expires_at().timestamp_micros());
        Ok(Fetched { authorization, lifetime: expires_at.since(Clock::system().now()) })
    }
}

/// A token in use.
#[derive(Debug)]
pub(crate) struct AccessToken {
    authorization: HeaderValue,
    expires_at: Instant,
}

impl AccessToken {
    /// The header `Authorization`.
    pub(crate) const fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }
}

/// What the refresher tells: changed with every fetch, failed ones too.
#[derive(Debug, Default)]
struct State {
    token: Option<Arc<AccessToken>>,
    /// When a token that FCM had refused was last replaced, or was to be.
    refusal_at: Option<Instant>,
}

impl State {
    fn is_after_refusal(&self) -> bool {
        self.refusal_at.is_some_and(|at| at.elapsed() < REFUSAL_PAUSE)
    }

    fn other_than(&self, refused: &Arc<AccessToken>) -> Option<Arc<AccessToken>> {
        self.token.clone().filter(|token| !Arc::ptr_eq(token, refused))
    }
}

/// The present token, for those who send. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    state: watch::Receiver<State>,
    refused: Arc<Notify>,
}

impl Tokens {
    /// The present token. Waits only while there was none yet, for `patience` at most. One that has expired,
    /// because no new one was to be had, is given all the same: FCM decides.
    pub(crate) async fn current(&self, patience: Duration) -> Option<Arc<AccessToken>> {
        if let Some(token) = &self.state.borrow().token {
            return Some(token.clone());
        }
        let mut state = self.state.clone();
        let first = timeout(patience, state.wait_for(|state| state.token.is_some())).await.ok()?.ok()?;
        first.token.clone()
    }

    /// Another token than this one, which FCM refused: the present one, if that is another, or the next.
    /// `None` where none comes within `patience`, or where a new token was refused just now as well.
    pub(crate) async fn instead_of(
        &self,
        refused: &Arc<AccessToken>,
        patience: Duration,
    ) -> Option<Arc<AccessToken>> {
        let mut state = self.state.clone();
        {
            let now = state.borrow_and_update();
            let other = now.other_than(refused);
            if other.is_some() || now.is_after_refusal() {
                return other;
            }
        }
        self.refused.notify_one();
        timeout(patience, state.changed()).await.ok()?.ok()?;
        state.borrow().other_than(refused)
    }
}

/// The one task that fetches tokens.
pub(crate) struct Refresher<S> {
    source: S,
    fetch_timeout: Duration,
    state: watch::Sender<State>,
    refused: Arc<Notify>,
    metrics: TokenMetrics,
    ready: ReadyFlag,
}

impl<S: TokenSource> Refresher<S> {
    /// The refresher, and the tokens that it keeps. `ready` fails while there is no token that is good.
    pub(crate) fn new(source: S, metrics: TokenMetrics, ready: ReadyFlag) -> (Self, Tokens) {
        let (sender, receiver) = watch::channel(State::default());
        let refused = Arc::new(Notify::new());
        let tokens = Tokens { state: receiver, refused: refused.clone() };
        (Self { source, fetch_timeout: FETCH, state: sender, refused, metrics, ready }, tokens)
    }

    /// With another limit for one fetch.
    #[cfg(test)]
    pub(crate) fn with_fetch_timeout(mut self, fetch_timeout: Duration) -> Self {
        self.fetch_timeout = fetch_timeout;
        self
    }

    /// Keeps the token fresh until the stop.
    pub(crate) async fn run(self, stop: Stop) -> anyhow::Result<()> {
        let mut due = Instant::now();
        let mut failures = 0;
        loop {
            let was_refused = tokio::select! {
                () = stop.soft() => return Ok(()),
                () = sleep_until(due) => false,
                () = self.refused.notified() => true,
            };
            if was_refused && self.state.borrow().is_after_refusal() {
                continue;
            }
            let fetched = tokio::select! {
                () = stop.soft() => return Ok(()),
                fetched = timeout(self.fetch_timeout, self.source.fetch()) => fetched.unwrap_or(Err(TokenError::Late)),
            };
            let pause = match fetched {
                Ok(fetched) => {
                    failures = 0;
                    self.take(fetched, was_refused)
                }
                Err(error) => {
                    failures += 1;
                    self.keep(&error, was_refused);
                    pause_after(failures)
                }
            };
            due = Instant::now() + pause;
        }
    }

    /// Takes a new token into use; returns when the next one is due.
    fn take(&self, fetched: Fetched, was_refused: bool) -> Duration {
        let Fetched { authorization, lifetime } = fetched;
        tracing::info!(lifetime_s = lifetime.as_secs(), "a new access token for FCM");
        let token = AccessToken { authorization, expires_at: Instant::now() + lifetime };
        self.tell(Some(token), was_refused);
        self.metrics.refreshed(lifetime);
        self.ready.set_ready(true);
        refresh_after(lifetime)
    }

    /// Keeps the token that there is.
    fn keep(&self, error: &TokenError, was_refused: bool) {
        self.tell(None, was_refused);
        self.metrics.failed();
        let is_good =
            self.state.borrow().token.as_ref().is_some_and(|token| token.expires_at > Instant::now());
        tracing::warn!(
            %error,
            cause = std::error::Error::source(error).map(tracing::field::display),
            has_token = is_good,
            "no new access token for FCM; it is tried again"
        );
        if !is_good {
            self.ready.set_failing("there is no access token: the OAuth token endpoint gives none");
        }
    }

    fn tell(&self, token: Option<AccessToken>, was_refused: bool) {
        self.state.send_modify(|state| {
            if let Some(token) = token {
                state.token = Some(Arc::new(token));
            }
            if was_refused {
                state.refusal_at = Some(Instant::now());
            }
        });
    }
}

/// When a token is to be replaced: early enough for several tries.
fn refresh_after(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(EARLY).max(lifetime / 2).max(Duration::from_secs(1))
}

/// The pause after so many failed fetches in a row: one second, doubled with each.
fn pause_after(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(5)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
