//! The one place that writes to standard output: lines, and lines that are drawn again on a terminal.
//!
//! What came from outside goes through `clean` first, so that nobody can send commands to an operator's terminal.

use std::io::{self, IsTerminal, Write};

use fleet_domain::misleads;

use crate::error::Error;
use crate::input;

/// Where a terminal stops; also used where nobody knows its size.
const DEFAULT_SIZE: (u16, u16) = (100, 24);

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Of less weight.
    Dim,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
        }
    }

    /// The text with its codes, where colours are wanted.
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        if colour && self != Self::Plain { format!("{}{text}\x1b[0m", self.code()) } else { text.to_owned() }
    }
}

/// A piece of a line.
pub(crate) type Span = (Style, String);

/// Standard output.
pub(crate) struct Screen {
    /// Whether lines may be drawn again.
    terminal: bool,
    colour: bool,
    /// How many lines stand below the cursor's old place.
    drawn: usize,
}

impl Screen {
    pub(crate) fn stdout() -> Self {
        // These two are the terminal's own, and no settings of the fleet.
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal() && variable("TERM").is_none_or(|term| term != "dumb");
        Self { terminal, colour: terminal && variable("NO_COLOR").is_none(), drawn: 0 }
    }

    /// Whether text may have colours.
    pub(crate) const fn colour(&self) -> bool {
        self.colour
    }

    /// Asks whoever sits at the terminal, and gives the line that was typed, without blanks around it. `None` where nobody
    /// does.
    pub(crate) fn ask(&mut self, question: &str) -> Result<Option<String>, Error> {
        if !(self.terminal && io::stdin().is_terminal()) {
            return Ok(None);
        }
        self.drawn = 0;
        write(question)?;
        Ok(Some(input::first_line()?.trim().to_owned()))
    }

    /// Whether so many lines can be drawn again and again.
    pub(crate) fn can_redraw(&self, lines: usize) -> bool {
        self.terminal && lines < usize::from(size().1)
    }

    /// Writes a text as it is, with a line end.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Error> {
        self.drawn = 0;
        write(&format!("{text}\n"))
    }

    /// Writes a styled line.
    pub(crate) fn spans(&mut self, spans: &[Span]) -> Result<(), Error> {
        let text: String = spans.iter().map(|(style, text)| style.paint(text, self.colour)).collect();
        self.line(&text)
    }

    /// Draws these lines over those of the last call, cut to the terminal's width so that each stays one line.
    pub(crate) fn redraw(&mut self, lines: &[Vec<Span>]) -> Result<(), Error> {
        let width = usize::from(size().0).saturating_sub(1);
        let mut text = String::new();
        if self.drawn > 0 {
            text = format!("\x1b[{}A", self.drawn);
        }
        for line in lines {
            text.push_str("\r\x1b[2K");
            for (style, part) in cut(line, width) {
                text.push_str(&style.paint(&part, self.colour));
            }
            text.push('\n');
        }
        self.drawn = lines.len();
        write(&text)
    }
}

/// The beginning of a line, `width` characters at most; a line that was cut ends with `…`.
fn cut(line: &[Span], width: usize) -> Vec<Span> {
    let whole: usize = line.iter().map(|(_, text)| text.chars().count()).sum();
    if whole <= width {
        return line.to_vec();
    }
    let mut left = width.saturating_sub(1);
    let mut kept = Vec::with_capacity(line.len() + 1);
    for (style, text) in line {
        let part: String = text.chars().take(left).collect();
        left -= part.chars().count();
        kept.push((*style, part));
    }
    kept.push((Style::Dim, "…".to_owned()));
    kept
}

/// Columns and lines of the terminal.
fn size() -> (u16, u16) {
    terminal_size::terminal_size().map_or(DEFAULT_SIZE, |(width, height)| (width.0, height.0))
}

fn write(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::output)
}

/// Text from outside without what a terminal would obey, or what makes it read otherwise than it is.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if misleads(c) { '\u{fffd}' } else { c }).collect()
}

/// Seconds with two decimals: `1.25 s`.
pub(crate) fn seconds(duration: std::time::Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_terminals_width() {
        let line = [(Style::Bold, "Anna".to_owned()), (Style::Plain, " rings für 3 s".to_owned())];
        let shown = |width| cut(&line, width).into_iter().map(|(_, text)| text).collect::<String>();
        assert_eq!(shown(18), "Anna rings für 3 s");
        assert_eq!(shown(13), "Anna rings f…");
        assert_eq!(shown(3), "An…");
    }

    #[test]
    fn a_terminal_gets_no_commands_from_outside() {
        assert_eq!(
            clean("a\x1b]0;title\x07b\u{9b}2J\u{202e}c\n\u{2028}"),
            "a\u{fffd}]0;title\u{fffd}b\u{fffd}2J\u{fffd}c\u{fffd}\u{fffd}"
        );
        assert_eq!(clean("für Ørsted"), "für Ørsted");
    }

    #[test]
    fn colours_are_codes_around_the_text_or_nothing() {
        assert_eq!(Style::Good.paint("ok", true), "\x1b[32mok\x1b[0m");
        assert_eq!(Style::Good.paint("ok", false), "ok");
    }
}
