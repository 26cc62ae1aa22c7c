//! How far a long piece of work has come: a bar with its rate and the time that is left, drawn in place on a terminal; a
//! line every few seconds otherwise.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;
use crate::print::{Screen, Span, Style};

const BAR: usize = 24;
const REDRAWN: Duration = Duration::from_millis(100);
const REPEATED: Duration = Duration::from_secs(5);

/// What is drawn of one piece of work.
pub(crate) struct Meter {
    /// What is counted, such as users.
    what: &'static str,
    began: Instant,
    shown: Option<Instant>,
    /// The share that was done before this run began.
    done_before: f64,
}

impl Meter {
    pub(crate) fn begin(what: &'static str, done_before: f64) -> Self {
        Self { what, began: Instant::now(), shown: None, done_before }
    }

    /// Shows where it stands, if it is time to: the share that is done, how many this run has done, and a remark.
    pub(crate) fn show(
        &mut self,
        screen: &mut Screen,
        (share, count): (f64, u64),
        remark: &str,
    ) -> Result<(), Error> {
        let in_place = screen.can_redraw(1);
        let pause = if in_place { REDRAWN } else { REPEATED };
        if self.shown.unwrap_or(self.began).elapsed() < pause {
            return Ok(());
        }
        self.shown = Some(Instant::now());
        let line = line(self.what, (share, self.done_before), count, self.began.elapsed(), remark);
        if in_place { screen.redraw(&[line]) } else { screen.spans(&line) }
    }

    /// Takes the bar away for what comes after it.
    pub(crate) fn end(&self, screen: &mut Screen) -> Result<(), Error> {
        if self.shown.is_some() && screen.can_redraw(1) { screen.redraw(&[Vec::new()]) } else { Ok(()) }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a short bar")]
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn line(what: &str, (share, before): (f64, f64), count: u64, elapsed: Duration, remark: &str) -> Vec<Span> {
    let share = share.clamp(0.0, 1.0);
    let full = (share * BAR as f64) as usize;
    let seconds = elapsed.as_secs_f64().max(0.001);
    let per_second = count as f64 / seconds;
    let pace = (share - before) / seconds;
    let left = if pace > 0.0 { (1.0 - share) / pace } else { 0.0 };
    let left = Duration::from_secs(left.round().min(1e6) as u64);
    let mut spans = vec![
        (Style::Good, "█".repeat(full)),
        (Style::Dim, "░".repeat(BAR - full)),
        (Style::Plain, format!(" {:3.0} %  {count} {what}  {per_second:.0}/s  ", share * 100.0)),
        (Style::Dim, format!("{} left", fleet_settings::duration::format(left))),
    ];
    if !remark.is_empty() {
        spans.push((Style::Plain, format!("  {remark}")));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_the_time_that_is_left_are_those_of_this_run() {
        let text = |spans: Vec<Span>| spans.into_iter().map(|(_, text)| text).collect::<String>();
        let shown = text(line("users", (0.75, 0.5), 5000, Duration::from_secs(10), "3 refused"));
        assert_eq!(
            shown,
            format!("{}{}  75 %  5000 users  500/s  10s left  3 refused", "█".repeat(18), "░".repeat(6))
        );
        let begun = text(line("users", (0.0, 0.0), 0, Duration::ZERO, ""));
        assert!(begun.ends_with("  0 %  0 users  0/s  0s left"), "{begun}");
    }
}
