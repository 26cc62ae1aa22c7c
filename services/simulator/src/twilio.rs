//! Twilio's REST API for calls, under `/2010-04-01/Accounts/{sid}/`.
//!
//! `order` validates what a call is created from, `permissions` whether the account may place it, `update` changes a call,
//! `resource` shows it, `list` finds calls, `error` has the error bodies. What then happens on the phone is in `call`.

mod error;
mod list;
mod order;
mod permissions;
mod resource;
mod update;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::call::{Call, Method, life};
use crate::journal::Fact;
use crate::settings::Settings;
use crate::world::World;

pub(crate) use error::TwilioError;
use permissions::Permissions;

/// Who may use the API.
pub(crate) struct Accounts {
    live: Account,
    test: Option<Account>,
    /// What the live account may do.
    permissions: Permissions,
}

struct Account {
    sid: String,
    /// The `Authorization` header that the account sends.
    authorization: String,
}

/// Which credentials a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Calls are placed.
    Live,
    /// Calls are validated against the magic numbers and not placed.
    Test,
}

impl Accounts {
    pub(crate) fn new(settings: &Settings) -> Self {
        use fleet_settings::ExposeSecret;
        let account = |sid: &String, token: &str| Account {
            sid: sid.clone(),
            authorization: format!("Basic {}", STANDARD.encode(format!("{sid}:{token}"))),
        };
        let test = (!settings.test_account_sid.is_empty())
            .then(|| account(&settings.test_account_sid, settings.test_auth_token.expose_secret()));
        Self {
            live: account(&settings.account_sid, settings.auth_token.expose_secret()),
            test,
            permissions: Permissions::new(settings),
        }
    }

    fn authenticate(&self, headers: &HeaderMap, account_sid: &str) -> Result<Credentials, TwilioError> {
        let given = headers.get("authorization").map_or(&b""[..], |value| value.as_bytes());
        let matches =
            |account: &Account| account.sid == account_sid && account.authorization.as_bytes() == given;
        if matches(&self.live) {
            Ok(Credentials::Live)
        } else if self.test.as_ref().is_some_and(matches) {
            Ok(Credentials::Test)
        } else {
            Err(TwilioError::of(20003))
        }
    }
}

/// The routes.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route(
            "/2010-04-01/Accounts/{account}/Calls.json",
            get(list_calls).post(create_call).fallback(not_allowed),
        )
        .route(
            "/2010-04-01/Accounts/{account}/Calls/{call}",
            get(fetch_call).post(update_call).delete(delete_call).fallback(not_allowed),
        )
        .route("/2010-04-01/{*path}", any(nothing_here))
}

type Answer = Result<Response, TwilioError>;

async fn create_call(
    State(world): State<Arc<World>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let credentials = world.accounts.authenticate(&headers, &account)?;
    let form = Form::parse(&body);
    let placed = order::read(&form, &world.accounts.permissions, credentials).and_then(|order| {
        match world.cast.person(&order.to).refusal(&order.from) {
            Some(code @ (21210 | 21212 | 32017)) => Err(TwilioError::about(code, &order.from)),
            Some(code) => Err(TwilioError::about(code, &order.to)),
            None => Ok(order),
        }
    });
    let order = placed.inspect_err(|error| {
        let (to, from) = (form.get("To"), form.get("From"));
        world.journal.record(&Fact::CallRefused { code: error.code, to, from });
    })?;
    let call = match credentials {
        Credentials::Live => life::place(&world, order),
        Credentials::Test => Arc::new(Call::new(order, world.time.now_micros(), std::time::Duration::ZERO)),
    };
    let ignored = form.ignored();
    if !ignored.is_empty() {
        world.journal.record(&Fact::Ignored { sid: &call.sid, parameters: &ignored });
    }
    for (code, text) in form.warnings() {
        world.journal.record(&Fact::Notification { sid: &call.sid, code, text });
    }
    Ok((StatusCode::CREATED, resource::created(&account, &call)).into_response())
}

async fn list_calls(
    State(world): State<Arc<World>>,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    live_only(world.accounts.authenticate(&headers, &account)?)?;
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    Ok(list::page(&world, &account, &query).into_response())
}

async fn fetch_call(
    State(world): State<Arc<World>>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    live_only(world.accounts.authenticate(&headers, &account)?)?;
    let call = find(&world, &name, &uri)?;
    Ok(resource::current(&account, &call).into_response())
}

async fn update_call(
    State(world): State<Arc<World>>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Answer {
    live_only(world.accounts.authenticate(&headers, &account)?)?;
    let call = find(&world, &name, &uri)?;
    update::change(&world, &call, &Form::parse(&body))?;
    Ok(resource::current(&account, &call).into_response())
}

async fn delete_call(
    State(world): State<Arc<World>>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    live_only(world.accounts.authenticate(&headers, &account)?)?;
    let call = find(&world, &name, &uri)?;
    if !call.state().status.is_final() {
        return Err(TwilioError::of(20009));
    }
    world.calls.remove(&call);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn nothing_here(uri: Uri) -> TwilioError {
    TwilioError::about(20404, uri.path())
}

async fn not_allowed() -> TwilioError {
    TwilioError::of(20004)
}

/// Test credentials can create calls and nothing else.
fn live_only(credentials: Credentials) -> Result<(), TwilioError> {
    match credentials {
        Credentials::Live => Ok(()),
        Credentials::Test => Err(TwilioError::of(20008)),
    }
}

fn find(world: &World, name: &str, uri: &Uri) -> Result<Arc<Call>, TwilioError> {
    let call = name.strip_suffix(".json").and_then(|sid| world.calls.get(sid));
    call.ok_or_else(|| TwilioError::about(20404, uri.path()))
}

/// Names and values of a form or a query, in their order.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first value of a name, if it is not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A webhook's method, POST by default.
    fn method(&self, name: &str) -> Result<Method, TwilioError> {
        match self.get(name) {
            None => Ok(Method::Post),
            Some(text) => Method::parse(text).ok_or(TwilioError::of(21209)),
        }
    }

    /// What Twilio ignores with a warning: names that it does not know (20001), events that are none (21626).
    fn ignored(&self) -> Vec<String> {
        let unknown = self.0.iter().map(|(name, _)| name).filter(|name| !order::is_known(name));
        let no_event = |value: &&str| order::event(value).is_none();
        let no_events = self.all("StatusCallbackEvent").filter(no_event);
        unknown.cloned().chain(no_events.map(|value| format!("StatusCallbackEvent={value}"))).collect()
    }

    /// What Twilio warns of in a create that it accepts.
    fn warnings(&self) -> impl Iterator<Item = (u32, &'static str)> {
        let has = |name: &str| self.get(name).is_some();
        let nobody_is_told = self.get("MachineDetection").is_some()
            && self.get("AsyncAmd") == Some("true")
            && !has("AsyncAmdStatusCallback");
        [
            (has("Url") && has("Twiml"), 32019, "Twiml is ignored beside Url"),
            (nobody_is_told, 21262, "AsyncAmd without AsyncAmdStatusCallback"),
        ]
        .into_iter()
        .filter_map(|(holds, code, text)| holds.then_some((code, text)))
    }
}
