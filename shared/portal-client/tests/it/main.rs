//! A portal against a real RabbitMQ (`AMQP_URL`) and Redis (`REDIS_URL`), with the two ends of a fleet that these tests play. The
//! portal is the RabbitMQ user of `AMQP_URL`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail as the test itself does")]

mod asking;
mod outcomes;
mod support;
