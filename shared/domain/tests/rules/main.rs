//! The rules as a table and as properties.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod again;
mod caller_ids;
mod cases;
mod codes;
mod enrollment;
mod erased;
mod golden;
mod opening;
mod properties;
mod pushes;
mod secrets;
mod transitions;
mod workflow;
