//! Outcomes against a real Redis (`REDIS_URL`): `telling` and `reading` when all is well, `faults` when it is not. Each test has
//! keys of its own, under a prefix.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as the test itself does"
)]

mod faults;
mod reading;
mod support;
mod telling;
