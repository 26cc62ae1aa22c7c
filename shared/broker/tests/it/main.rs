//! The broker against a real RabbitMQ (`AMQP_URL`). Each test has exchanges and queues of its own, under a
//! namespace.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail as the test itself does")]

mod consume;
mod faults;
mod hostile;
mod letters;
mod publish;
mod support;
mod trust;
