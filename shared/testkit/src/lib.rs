#![doc = include_str!("../README.md")]

mod names;
mod ports;
mod servers;

pub use names::unique_name;
pub use ports::free_port;
pub use servers::{amqp_url, database_url, redis_url};
