//! The program as it is built, against the real servers.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails may panic")]

mod app;
mod asking;
mod auditing;
mod bulk;
mod changing;
mod desk;
mod letters;
mod looking;
mod support;
