#![doc = include_str!("../README.md")]

mod clock;
mod run;
mod stop;
mod tasks;

#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use run::{Context, exit_bad_settings, run};
pub use stop::Stop;
pub use tasks::Tasks;
