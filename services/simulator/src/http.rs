//! The port: one listener for HTTP/1.1 and for HTTP/2 with prior knowledge, whose connections can be reset.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::ids;
use crate::world::World;

/// Accepts connections that can be reset.
pub(crate) struct Port(pub(crate) TcpListener);

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    cut: Arc<AtomicBool>,
}

impl Peer {
    /// Resets the connection in place of the next bytes that would be written to it.
    pub(crate) fn reset(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

impl Listener for Port {
    type Io = Wire;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => {
                    // Small answers must not wait for the client's acknowledgement; a failure costs only time.
                    let _ = stream.set_nodelay(true);
                    let cut = Arc::new(AtomicBool::new(false));
                    return (Wire { stream, cut: Arc::clone(&cut) }, Peer { cut });
                }
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    // Out of file descriptors, most likely: give some time to come back.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Peer { cut: Arc::default() })
    }
}

impl Connected<IncomingStream<'_, Port>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Wire {
    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            // Without lingering, closing the socket sends a reset.
            self.stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Opens the port.
pub(crate) async fn bind(listen: SocketAddr) -> io::Result<(Port, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let bound = listener.local_addr()?;
    Ok((Port(listener), bound))
}

static CONCURRENT: AtomicU64 = AtomicU64::new(0);

/// Counts a request as long as it is worked on.
struct Working;

impl Working {
    fn begin() -> (Self, u64) {
        (Self, CONCURRENT.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        CONCURRENT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds the headers of every answer of Twilio's API.
pub(crate) async fn twilio_headers(State(_): State<Arc<World>>, request: Request, next: Next) -> Response {
    let (_working, concurrent) = Working::begin();
    let began = Instant::now();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set("twilio-request-id", ids::sid("RQ"));
    set("twilio-concurrent-requests", concurrent.to_string());
    set("twilio-request-duration", format!("{:.3}", began.elapsed().as_secs_f64()));
    set("x-home-region", "us1".to_owned());
    set("x-api-domain", "api.twilio.com".to_owned());
    response
}
