//! The routes. Files and folders below mirror the URLs; `body` is what they share.

mod app;
mod body;
mod twilio;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::error::{Because, Setback};
use crate::gateway::Gateway;
use crate::twiml::Twiml;

/// All routes, with what holds for every one of them.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let body_limit = gateway.settings.body_limit_bytes;
    Router::new()
        .route(Route::Call.path(), post(twilio::calls::serve))
        .route(Route::Input.path(), post(twilio::calls::input::take))
        .route(Route::Status.path(), post(twilio::calls::status::take))
        .route(Route::Activate.path(), post(app::activate::take))
        .route(Route::PushAddress.path(), post(app::push_address::take))
        .route(Route::Revoke.path(), post(app::revoke::take))
        .route(Route::Challenges.path(), get(app::challenges::list))
        .route(Route::Answer.path(), post(app::challenges::answer::take))
        .route(Route::Opened.path(), post(app::challenges::opened::take))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(from_fn_with_state(gateway.clone(), guard))
        .with_state(gateway)
}

/// A route, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Call,
    Input,
    Status,
    Activate,
    PushAddress,
    Revoke,
    Challenges,
    Answer,
    Opened,
    /// No route of ours.
    None,
}

impl Route {
    const ALL: [Self; 9] = [
        Self::Call,
        Self::Input,
        Self::Status,
        Self::Activate,
        Self::PushAddress,
        Self::Revoke,
        Self::Challenges,
        Self::Answer,
        Self::Opened,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Call => "/twilio/calls/{portal}/{challenge}/{attempt}/{token}",
            Self::Input => "/twilio/calls/{portal}/{challenge}/{attempt}/{token}/input/{round}",
            Self::Status => "/twilio/calls/{portal}/{challenge}/{attempt}/{token}/status",
            Self::Activate => "/app/activate",
            Self::PushAddress => "/app/push-address",
            Self::Revoke => "/app/revoke",
            Self::Challenges => "/app/challenges",
            Self::Answer => "/app/challenges/{portal}/{challenge}/answer",
            Self::Opened => "/app/challenges/{portal}/{challenge}/opened",
            Self::None => "",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Call => "twilio_call",
            Self::Input => "twilio_input",
            Self::Status => "twilio_status",
            Self::Activate => "app_activate",
            Self::PushAddress => "app_push_address",
            Self::Revoke => "app_revoke",
            Self::Challenges => "app_challenges",
            Self::Answer => "app_answer",
            Self::Opened => "app_opened",
            Self::None => "none",
        }
    }

    fn of(matched: Option<&MatchedPath>) -> Self {
        let path = matched.map_or("", MatchedPath::as_str);
        Self::ALL.into_iter().find(|route| route.path() == path).unwrap_or(Self::None)
    }

    /// How long a request may take. What is asked in a call has its own way to give up in time (`calls::in_time`), so that
    /// nobody is hung up on for it: the guard only stands behind that, and leaves the time for the body to arrive.
    fn limit(self, request_timeout: Duration) -> Duration {
        match self {
            Self::Call | Self::Input => request_timeout * 2,
            Self::Status
            | Self::Activate
            | Self::PushAddress
            | Self::Revoke
            | Self::Challenges
            | Self::Answer
            | Self::Opened
            | Self::None => request_timeout,
        }
    }

    /// The answer to a request that took too long. A call must not hear an error message, so it is ended.
    fn cut_short(self) -> Response {
        let because = Extension(Because("timeout"));
        match self {
            Self::Call | Self::Input => (because, Twiml::hang_up()).into_response(),
            Self::Status | Self::None => (because, StatusCode::SERVICE_UNAVAILABLE).into_response(),
            Self::Activate
            | Self::PushAddress
            | Self::Revoke
            | Self::Challenges
            | Self::Answer
            | Self::Opened => (because, app::AppRefusal::Setback(Setback::Unavailable)).into_response(),
        }
    }
}

/// Limits the time of every request, forbids every cache, and counts.
async fn guard(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let route = Route::of(request.extensions().get());
    let began = tokio::time::Instant::now();
    let answer = tokio::time::timeout(route.limit(gateway.settings.request_timeout), next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| route.cut_short());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(Because(reason)) = response.extensions().get() {
        gateway.metrics.without_effect(route.label(), reason);
    }
    gateway.metrics.answered(route.label(), response.status(), began.elapsed());
    response
}
