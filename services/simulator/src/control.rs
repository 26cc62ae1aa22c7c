//! `/sim`: the log, summaries, scripts and faults, for tests and for the curious. Apps are in `control/apps.rs`.

mod apps;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app;
use crate::call::Status;
use crate::cast::CastFile;
use crate::dates;
use crate::faults::Plan;
use crate::fcm::{Google, SendFault};
use crate::metrics::APP_RESULTS;
use crate::world::World;

/// Lines of the log in one answer, unless asked otherwise.
const LINES: usize = 10_000;
/// Calls in the summary.
const LATEST: usize = 100;

#[derive(Deserialize)]
struct LogQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// The routes.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .merge(apps::routes())
        .route("/sim/log", get(log))
        .route("/sim/calls", get(calls))
        .route("/sim/pushes", get(pushes))
        .route("/sim/people", post(people))
        .route("/sim/faults", get(show_faults).post(set_faults))
        .route("/sim/account", get(show_account).post(set_account))
        .route("/sim/google", get(show_google).post(set_google))
}

/// What can be changed of the account while the simulator runs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    /// Calls started per second of real time; 0 for no limit.
    calls_per_second: u32,
}

/// The log after line `after`, one JSON object per line.
async fn log(State(world): State<Arc<World>>, Query(query): Query<LogQuery>) -> Response {
    match world.journal.lines_after(query.after, query.limit.unwrap_or(LINES)).await {
        Ok(lines) => ([(CONTENT_TYPE, "application/jsonl")], lines).into_response(),
        Err(error) => {
            tracing::error!(%error, "the log can't be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn calls(State(world): State<Arc<World>>) -> Json<Value> {
    let calls = world.calls.newest_first(None);
    let mut by_status: BTreeMap<_, u64> = Status::ALL.iter().map(|status| (status.word(), 0)).collect();
    for call in &calls {
        *by_status.entry(call.state().status.word()).or_default() += 1;
    }
    let latest = calls.iter().take(LATEST).map(|call| {
        let state = call.state();
        json!({
            "sid": call.sid,
            "to": call.order.to,
            "from": call.order.from,
            "status": state.status,
            "created": dates::rfc3339(call.created),
            "answered": state.answered.map(dates::rfc3339),
            "ended": state.ended.map(dates::rfc3339),
            "seconds": state.seconds,
            "sip": state.sip,
        })
    });
    Json(json!({ "total": calls.len(), "by_status": by_status, "latest": latest.collect::<Vec<_>>() }))
}

/// Counts since this start.
async fn pushes(State(world): State<Arc<World>>) -> Json<Value> {
    let pushes = |result: &str| world.metrics.pushes.with_label_values(&[result]).get();
    let refused: BTreeMap<_, _> =
        SendFault::ALL.iter().map(|fault| (fault.word(), pushes(fault.word()))).collect();
    let answers: BTreeMap<_, _> = APP_RESULTS
        .iter()
        .map(|result| (*result, world.metrics.app_answers.with_label_values(&[result]).get()))
        .collect();
    Json(json!({ "accepted": pushes("accepted"), "refused": refused, "app_answers": answers }))
}

async fn people(State(world): State<Arc<World>>, Json(file): Json<CastFile>) -> Response {
    match world.cast.replace(file) {
        Ok(devices) => {
            for device in devices {
                app::poll(&world, device);
            }
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

async fn show_faults(State(world): State<Arc<World>>) -> Json<Plan> {
    Json(world.faults.plan())
}

async fn set_faults(State(world): State<Arc<World>>, Json(plan): Json<Plan>) -> Response {
    match world.faults.replace(plan) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

async fn show_account(State(world): State<Arc<World>>) -> Json<Account> {
    Json(Account { calls_per_second: world.queue.calls_per_second() })
}

async fn set_account(State(world): State<Arc<World>>, Json(account): Json<Account>) -> StatusCode {
    world.queue.set_calls_per_second(account.calls_per_second);
    StatusCode::NO_CONTENT
}

async fn show_google(State(world): State<Arc<World>>) -> Json<Google> {
    Json(world.fcm.tokens.google())
}

async fn set_google(State(world): State<Arc<World>>, Json(google): Json<Google>) -> StatusCode {
    world.fcm.tokens.set_google(google);
    StatusCode::NO_CONTENT
}
