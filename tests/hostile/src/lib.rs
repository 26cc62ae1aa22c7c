#![doc = include_str!("../README.md")]

mod attacker;
mod bodies;
mod chance;
mod enrollments;
mod generator;
mod properties;
mod table;

pub use attacker::{Answer, Attacker, Error};
pub use enrollments::Seal;
pub use generator::{Expected, Hostile, breaker, enrollments, messages, nested, swelling};
pub use properties::{Message, Properties};
pub use table::{Table, Value};
