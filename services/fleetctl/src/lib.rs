#![doc = include_str!("../README.md")]

mod ask;
mod bulk;
mod cli;
mod commands;
mod error;
#[cfg(test)]
mod example;
mod exit;
mod file;
mod help;
mod input;
mod people;
mod portal;
mod print;
mod progress;
mod qr;
mod scenario;
mod session;
mod settings;
mod table;

pub use cli::Cli;
pub use commands::run;
pub use error::{Asked, Error, Server};
pub use exit::Exit;
