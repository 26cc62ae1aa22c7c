//! Standard input: what is typed or piped into it stands in no shell's history and in no list of processes.

use std::io::{self, IsTerminal as _, Stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::Error;

/// A secret: the first line. Whoever sits at a terminal is asked for it, and what is typed is not shown.
pub(crate) fn secret(what: &str) -> Result<String, Error> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return first_line();
    }
    prompt(&format!("{what}: "));
    let _silence = Silence::of(&stdin);
    first_line()
}

/// The first line, without its end. None is an error, which never repeats what was there.
pub(crate) fn first_line() -> Result<String, Error> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) => Err(Error::Input("has nothing to read".to_owned())),
        Ok(_) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(Error::Input(format!("cannot be read: {error}"))),
    }
}

#[expect(clippy::print_stderr, reason = "a question is no output: that may go to a file or a program")]
fn prompt(question: &str) {
    eprint!("{question}");
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence<'a> {
    terminal: &'a Stdin,
    before: Termios,
}

impl<'a> Silence<'a> {
    /// `None` where the terminal does not let itself be told: the line can be typed all the same.
    fn of(terminal: &'a Stdin) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // The line end is shown, so that what comes next stands on a line of its own.
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(terminal, OptionalActions::Flush, &silent).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
