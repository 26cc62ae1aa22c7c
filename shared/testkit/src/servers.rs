//! Where the servers for the tests are, as `./ops/test` says it in the environment.

/// The RabbitMQ of the tests.
///
/// # Panics
/// Where `AMQP_URL` is not set.
pub fn amqp_url() -> String {
    server("AMQP_URL")
}

/// The Redis of the tests.
///
/// # Panics
/// Where `REDIS_URL` is not set.
pub fn redis_url() -> String {
    server("REDIS_URL")
}

/// The PostgreSQL of the tests.
///
/// # Panics
/// Where `DATABASE_URL` is not set.
pub fn database_url() -> String {
    server("DATABASE_URL")
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings; this names the variable too")]
#[expect(clippy::panic, reason = "a test without its server must fail and say why")]
fn server(variable: &str) -> String {
    match std::env::var(variable) {
        Ok(url) if !url.is_empty() => url,
        Ok(_) | Err(_) => {
            panic!("{variable} is not set: run the tests with `./ops/test`, which starts the servers")
        }
    }
}
