//! Twilio's REST API for calls, under `/2010-04-01/Accounts/{sid}/`.
//!
//! `order` validates what a call is created from, `resource` shows a call, `list` finds calls, `error` has the
//! error bodies. What then happens on the phone is in `call`.

mod error;
mod list;
mod order;
mod resource;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::call::{Call, Hook, Method, Source, Status, life};
use crate::journal::Fact;
use crate::settings::Settings;
use crate::world::World;

pub(crate) use error::TwilioError;

/// Who may use the API.
pub(crate) struct Accounts {
    live: Account,
    test: Option<Account>,
    /// Numbers that the live account owns; empty for all.
    pub(crate) numbers: Vec<String>,
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
            numbers: settings.numbers.clone(),
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
        .route("/2010-04-01/Accounts/{account}/Calls.json", get(list_calls).post(create_call))
        .route(
            "/2010-04-01/Accounts/{account}/Calls/{call}",
            get(fetch_call).post(update_call).delete(delete_call),
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
    let placed = order::read(&form, &world.accounts.numbers, credentials).and_then(|order| {
        match world.cast.person(&order.to).api_error {
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
    change(&world, &call, &Form::parse(&body))?;
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

/// Carries out an update: hang up, cancel, or perform another document.
fn change(world: &Arc<World>, call: &Arc<Call>, form: &Form) -> Result<(), TwilioError> {
    if let Some(wanted) = form.get("Status") {
        return hang_up(world, call, wanted);
    }
    if call.state().status.is_final() {
        return Err(TwilioError::of(21220));
    }
    let source = match (form.get("Url"), form.get("Twiml")) {
        (Some(url), _) => Source::Url(Hook { url: url.to_owned(), method: form.method("Method")? }),
        (None, Some(text)) => Source::Text(text.to_owned()),
        (None, None) => return Ok(()),
    };
    let mut state = call.state();
    if state.status != Status::InProgress {
        return Err(TwilioError::of(21220));
    }
    if let (Source::Url(_), Some(url)) = (&source, form.get("StatusCallback")) {
        let method = form.method("StatusCallbackMethod")?;
        state.status_callback = Some(Hook { url: url.to_owned(), method });
    }
    state.redirect = Some(source);
    drop(state);
    call.wake();
    Ok(())
}

/// Hangs up. `canceled` leaves an answered call alone, and says nothing about it.
fn hang_up(world: &Arc<World>, call: &Arc<Call>, wanted: &str) -> Result<(), TwilioError> {
    let answered_too = match wanted {
        "canceled" => false,
        "completed" => true,
        _ => return Err(TwilioError::of(20422)),
    };
    let mut left_alone = false;
    let ended = life::end_as(world, call, "api", |status| {
        if status != Status::InProgress {
            return Some((Status::Canceled, 487));
        }
        left_alone = !answered_too;
        answered_too.then_some((Status::Completed, 200))
    });
    if ended || left_alone { Ok(()) } else { Err(TwilioError::of(21220)) }
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
}
