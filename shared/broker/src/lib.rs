#![doc = include_str!("../README.md")]

mod acks;
mod backoff;
mod broker;
mod connection;
mod consume;
mod delay;
mod delivery;
mod error;
mod lane;
mod letters;
mod metrics;
mod publish;
mod readiness;
mod session;
mod settings;
mod supervisor;
mod topology;
mod verdict;

pub use broker::Broker;
pub use consume::Handler;
pub use delay::Rung;
pub use delivery::{DeadInfo, Delivery, Sender};
pub use error::{Error, PublishError};
pub use letters::{Letter, LetterBox, Pile, QueueDepth};
pub use publish::{Message, Publisher};
pub use settings::{DEFAULTS, Settings};
pub use topology::{Exchange, Queue};
pub use verdict::{Poison, PoisonBody, Verdict};
