#![doc = include_str!("../README.md")]

mod connection;
mod epoch;
mod error;
mod listener;
mod metrics;
mod names;
mod outcomes;
mod queue;
mod read;
mod settings;
mod watcher;
mod writer;

pub use error::Error;
pub use names::{Subject, key};
pub use outcomes::{Outcomes, Told};
pub use read::SignedDocument;
pub use settings::{DEFAULTS, Settings};
pub use watcher::{Notice, Notices, Watcher};
