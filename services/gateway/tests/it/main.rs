//! The gateway against real servers: PostgreSQL with a schema of its own for each test, RabbitMQ and Redis.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail as the test itself does")]

mod activation;
mod app;
mod callbacks;
mod calls;
mod connections;
mod hostile;
mod phone;
mod pins;
mod prompts;
mod support;
