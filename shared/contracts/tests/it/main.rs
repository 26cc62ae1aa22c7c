//! Contracts against their documents: schemas, examples, asyncapi.yaml, README.md; and against hostile bodies.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as the test itself does")]

mod asyncapi;
mod documents;
mod examples;
mod hostile;
mod reading;
mod schemas;
