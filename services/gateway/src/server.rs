//! The HTTP server: hyper, with every limit written out.
//!
//! TLS ends at the proxy in front. What a slow or silent client can hold is one connection, for a bounded time.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use fleet_lifecycle::{Context, Stop};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::Settings;
use crate::impatient::Impatient;
use crate::metrics::GatewayMetrics;

/// Largest head of a request. The carrier's have about 1 kB, and a device's proof has at most 4 kB.
const HEAD_BYTES: usize = 16 * 1024;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS: u32 = 256;
/// How much longer than its requests may take a connection is given to end once it was asked to.
const CLOSING_MARGIN: Duration = Duration::from_secs(3);
/// How long to wait after a connection could not be accepted, since that is mostly for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until the soft stop; those that are open then finish their requests.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    settings: Settings,
    (context, metrics): (Context, GatewayMetrics),
) -> anyhow::Result<()> {
    let http = Arc::new(http(&settings));
    let places = Arc::new(Semaphore::new(settings.connections_max));
    while let Some((stream, place)) = accept(&listener, &places, &context.stop).await {
        let (http, app, stop) = (http.clone(), app.clone(), context.stop.clone());
        let patience = Patience::of(&settings);
        let counted = metrics.connection();
        context.tasks.spawn_detail("connection", async move {
            attend(&http, stream, app, (patience, stop)).await;
            drop((place, counted));
        });
    }
    Ok(())
}

fn http(settings: &Settings) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        // Without a timer none of the time-outs works.
        .timer(TokioTimer::new())
        // From the first byte, or from the end of the request before: it bounds an idle connection too.
        .header_read_timeout(settings.head_timeout)
        // The buffer for the head: a larger one is refused with 431.
        .max_buf_size(HEAD_BYTES)
        .keep_alive(true)
        // Whoever closes its side has gone: nobody reads an answer.
        .half_close(false);
    http.http2()
        .timer(TokioTimer::new())
        // Counted after decompression.
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        // A peer that is gone without a word is noticed.
        .keep_alive_interval(settings.head_timeout)
        .keep_alive_timeout(settings.head_timeout);
    http
}

/// The next connection and its place among those allowed; none once the stop was requested.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &Stop,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let next = async {
        // The place before the connection: so the limit cannot be overrun. The semaphore is never closed.
        let place = places.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, place)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        accepted = next => accepted,
        () = stop.soft() => None,
    }
}

/// How long one connection is put up with.
struct Patience {
    /// Until it has said something, and while it takes nothing of its answers.
    silence: Duration,
    /// Until it is asked to end.
    age: Duration,
    /// From then until it is cut.
    closing: Duration,
}

impl Patience {
    fn of(settings: &Settings) -> Self {
        Self {
            silence: settings.head_timeout,
            age: scattered(settings.connection_age_max, u16::from_ne_bytes(fleet_keys::random_bytes())),
            closing: settings.request_timeout + CLOSING_MARGIN,
        }
    }
}

/// Up to a tenth less or more, so that connections which came together do not all come again together.
fn scattered(age: Duration, random: u16) -> Duration {
    age * 9 / 10 + age / 5 * u32::from(random) / u32::from(u16::MAX)
}

/// Serves one connection to its end: its own, or the one that is put to it at the soft stop or when it has grown old.
/// Without an age, a client that answers pings, or one that reads a byte now and then, would keep its place for ever.
async fn attend(
    http: &Builder<TokioExecutor>,
    stream: TcpStream,
    app: Router,
    (patience, stop): (Patience, Stop),
) {
    // Answers are small and somebody waits for each: none is held back to be sent with another.
    let _ = stream.set_nodelay(true);
    let stream = TokioIo::new(Impatient::new(stream, patience.silence));
    let spoken = Arc::new(AtomicBool::new(false));
    let mut connection = pin!(http.serve_connection(stream, service(app, spoken.clone())));
    // hyper times the head of a request only once it knows the protocol; before that a client could stay silent.
    let silent = async {
        tokio::time::sleep(patience.silence).await;
        if spoken.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    };
    let closes = async {
        tokio::select! {
            () = stop.soft() => {}
            () = tokio::time::sleep(patience.age) => {}
        }
    };
    let ended = tokio::select! {
        end = connection.as_mut() => Some(end),
        () = silent => return,
        () = closes => None,
    };
    let ended = if let Some(end) = ended {
        Ok(end)
    } else {
        connection.as_mut().graceful_shutdown();
        tokio::time::timeout(patience.closing, connection).await
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended in mid-request"),
        Err(_) => tracing::debug!("a connection that did not end was cut"),
    }
}

fn service(
    app: Router,
    spoken: Arc<AtomicBool>,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    let app = TowerToHyperService::new(app);
    service_fn(move |request| {
        spoken.store(true, Ordering::Relaxed);
        app.call(request)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ages_of_connections_lie_within_a_tenth_of_the_setting() {
        let age = Duration::from_mins(5);
        assert_eq!(scattered(age, 0), Duration::from_secs(270));
        assert_eq!(scattered(age, u16::MAX), Duration::from_secs(330));
        assert_eq!(scattered(Duration::from_hours(1), u16::MAX), Duration::from_mins(66));
        let middle = scattered(age, u16::MAX / 2);
        assert!(Duration::from_secs(299) < middle && middle < Duration::from_secs(301), "{middle:?}");
    }
}
