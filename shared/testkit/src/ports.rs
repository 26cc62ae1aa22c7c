//! Ports for what a test starts and tells others of before it listens.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u32 = 10_000;

/// A port of this machine that is free, another one at each call. It lies below those that the system gives to outgoing
/// connections: one of these may take any of its own before it is listened at.
///
/// # Panics
/// Where none is free.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without a port has failed")]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let first = std::process::id() % COUNT;
    let next = |_| first + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let port = |next: u32| FIRST + u16::try_from(next % COUNT).unwrap_or_default();
    (0..COUNT).map(next).map(port).find(is_free).expect("a free port")
}
