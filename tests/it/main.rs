//! The workspace's own rules, and scenarios across services on real stores. One module per subject.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod app;
mod by_app;
mod by_code;
mod by_phone;
mod by_push;
mod caller_ids;
mod carrier;
mod enrollment;
mod hostile;
mod ladder;
mod names;
mod pacing;
mod pins;
mod reasons;
mod redis_lost;
mod requests;
mod restarts;
mod workflow;
mod world;
