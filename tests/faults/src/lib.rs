#![doc = include_str!("../README.md")]

pub mod proxy;
pub mod report;
