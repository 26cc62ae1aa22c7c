//! Records against a real PostgreSQL, each test in a schema of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

mod changes;
mod commits;
mod enrolled;
mod enrollments;
mod erasure;
mod fixtures;
mod pacing;
mod plans;
mod processes;
mod seals;
mod standing;
mod sweeps;
mod totp;
