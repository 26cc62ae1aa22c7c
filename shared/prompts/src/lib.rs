#![doc = include_str!("../README.md")]

mod book;
mod kind;
mod lint;
mod speech;
mod utterance;

pub use book::{LANGUAGES, Prompt, say, text};
pub use kind::{Kind, Placeholder};
pub use lint::{Complaint, Rule, lint, usable};
pub use speech::{LONGEST, LONGEST_TITLE, speaking_time};
pub use utterance::Utterance;
