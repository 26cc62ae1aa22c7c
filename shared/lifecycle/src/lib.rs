#![doc = include_str!("../README.md")]

mod clock;
mod crash_point;
mod run;
mod stack;
mod stop;
mod tasks;

#[cfg(test)]
mod tests;

pub use clock::Clock;
#[cfg(feature = "crash-points")]
pub use crash_point::{Armed, arm};
pub use crash_point::{CrashPoint, crash_during, crash_point};
pub use run::{Context, exit_bad_settings, run};
pub use stack::deepen_stacks;
pub use stop::Stop;
pub use tasks::Tasks;
