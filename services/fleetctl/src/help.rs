//! What stands below the arguments in each command's help: examples, exit codes, and the settings it needs.
//!
//! Paragraphs are one line each, since they are wrapped to the terminal. Tests run every example through the parser.

mod app;
mod audit;
mod challenge;
mod dead;
mod fleet;
mod user;

pub(crate) use self::app::*;
pub(crate) use self::audit::*;
pub(crate) use self::challenge::*;
pub(crate) use self::dead::*;
pub(crate) use self::fleet::*;
pub(crate) use self::user::*;
