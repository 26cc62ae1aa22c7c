//! Deep stacks for the threads that libraries start, above all the one on which the AMQP client parses: it recurses, and
//! a portal decides how deeply what it sends is nested. What a frame of the broker can hold must fit.

use std::{convert::Infallible, io, os::unix::process::CommandExt as _, process::Command};

/// The variable from which the standard library takes the stack of threads that set none, in bytes.
const VARIABLE: &str = "RUST_MIN_STACK";
/// Twelve kilobytes, as a debug build needs, for each of 1,600 levels, and half as much again. Only what is used becomes memory.
const DEEP_BYTES: usize = 32 << 20;

/// Makes the stacks of threads that set none 32 MiB large: the process starts itself anew, once, under the same id, with
/// `RUST_MIN_STACK` set, since nothing else reaches the threads of a library. To be called first in `main`.
///
/// # Errors
/// Where the system does not let the process start itself: the variable must then be set from outside.
pub fn deepen_stacks() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "no setting of ours: the standard library reads it too")]
    let set = std::env::var(VARIABLE).ok();
    if is_deep(set.as_deref()) {
        return Ok(());
    }
    match start_anew() {
        Ok(never) => match never {},
        Err(error) => {
            let text =
                format!("set {VARIABLE}={DEEP_BYTES}: the process cannot start itself anew with it: {error}");
            Err(io::Error::new(error.kind(), text))
        }
    }
}

fn is_deep(set: Option<&str>) -> bool {
    set.and_then(|text| text.parse::<usize>().ok()).is_some_and(|bytes| bytes >= DEEP_BYTES)
}

fn start_anew() -> io::Result<Infallible> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let error = Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(arguments)
        .env(VARIABLE, DEEP_BYTES.to_string())
        .exec();
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_that_is_large_enough_is_left_alone() {
        for (set, deep) in [
            (None, false),
            (Some(""), false),
            (Some("2097152"), false),
            (Some("much"), false),
            (Some("33554432"), true),
            (Some("67108864"), true),
        ] {
            assert_eq!(is_deep(set), deep, "{set:?}");
        }
    }
}
