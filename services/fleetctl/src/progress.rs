//! How one challenge or change comes along, as a line that grows.

use std::time::Duration;

use fleet_contracts::{EnrollmentOutcome, Outcome};
use fleet_domain::{ChallengeResult, EnrollmentResult, NextStep, Progress, Reason};

use crate::print::{Span, Style, clean, seconds};

/// A challenge or a change from the request to its end.
pub(crate) struct Track {
    title: String,
    /// The words so far, each once in a row.
    words: Vec<String>,
    /// When it was asked for, since the start of the show, and its end.
    asked: Option<Duration>,
    end: Option<(Duration, Style)>,
}

impl Track {
    pub(crate) fn new(title: &str) -> Self {
        Self { title: clean(title), words: Vec::new(), asked: None, end: None }
    }

    pub(crate) fn title_width(&self) -> usize {
        self.title.chars().count()
    }

    /// It was asked for at this moment.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.asked = Some(now);
    }

    /// Takes in what was heard, and returns its word if it is news.
    pub(crate) fn hear(&mut self, outcome: &Outcome, now: Duration) -> Option<&str> {
        if outcome.result != ChallengeResult::Pending {
            self.end = Some((now, style_of(outcome.result)));
        }
        self.take(word(outcome))
    }

    /// The same of a change.
    pub(crate) fn hear_change(&mut self, outcome: &EnrollmentOutcome, now: Duration) -> Option<&str> {
        if outcome.result != EnrollmentResult::Pending {
            self.end = Some((now, style_of_change(outcome.result)));
        }
        self.take(word_of_change(outcome))
    }

    fn take(&mut self, word: String) -> Option<&str> {
        if self.words.last() == Some(&word) {
            return None;
        }
        self.words.push(word);
        self.words.last().map(String::as_str)
    }

    /// It came to no outcome.
    pub(crate) fn fail(&mut self, now: Duration) {
        self.end = Some((now, Style::Bad));
        self.words.push("no outcome".to_owned());
    }

    /// Time since it was asked for, up to its end.
    pub(crate) fn elapsed(&self, now: Duration) -> Option<Duration> {
        let until = self.end.map_or(now, |(end, _)| end);
        self.asked.map(|asked| until.saturating_sub(asked))
    }

    /// The whole line, with the title in a column of this width.
    pub(crate) fn line(&self, now: Duration, title_width: usize) -> Vec<Span> {
        let elapsed = self.elapsed(now).map(seconds).unwrap_or_default();
        let mut line = vec![
            (Style::Plain, format!("{:title_width$}  ", self.title)),
            (Style::Dim, format!("{elapsed:>8}  ")),
        ];
        for (at, word) in self.words.iter().enumerate() {
            if at > 0 {
                line.push((Style::Dim, " › ".to_owned()));
            }
            let last = at + 1 == self.words.len();
            let style = self.end.filter(|_| last).map_or(Style::Plain, |(_, style)| style);
            line.push((style, word.clone()));
        }
        line
    }

    /// One step, for output that only grows.
    pub(crate) fn step(&self, word: &str, now: Duration, title_width: usize) -> Vec<Span> {
        let elapsed = self.elapsed(now).map(seconds).unwrap_or_default();
        let style = self.end.map_or(Style::Plain, |(_, style)| style);
        vec![
            (Style::Dim, format!("{elapsed:>8}  ")),
            (Style::Plain, format!("{:title_width$}  ", self.title)),
            (style, word.to_owned()),
        ]
    }
}

/// How far it has come, or what it came to.
fn word(outcome: &Outcome) -> String {
    match (outcome.result, outcome.reason) {
        (ChallengeResult::Pending, _) => match caller_id_of_another_call(outcome) {
            Some(number) => format!("{} from {number}", outcome.progress),
            None => outcome.progress.to_string(),
        },
        (result, Some(reason)) => format!("{result} {reason}"),
        (result, None) => result.to_string(),
    }
}

/// How far a change has come, or what it came to.
fn word_of_change(outcome: &EnrollmentOutcome) -> String {
    if let (false, Some(reason)) = (outcome.result == EnrollmentResult::Pending, outcome.reason) {
        return format!("{} {reason}", outcome.result);
    }
    let phone = outcome.phones.first().map_or("the app", |phone| &phone.number);
    match (outcome.next_step, outcome.tests.last().and_then(|test| test.reason)) {
        (Some(NextStep::AnswerTest), _) => format!("testing {phone}"),
        (Some(NextStep::RetryTest), Some(reason)) => format!("test {reason}"),
        (Some(NextStep::AnswerQuestions), _) => format!("{} questions asked", outcome.questions.len()),
        (_, Some(reason)) => format!("test passed, {reason}"),
        (_, None) => outcome.state.to_string(),
    }
}

/// What a call shows that is dialed because the caller ID of the one before it was rejected.
fn caller_id_of_another_call(outcome: &Outcome) -> Option<&str> {
    let [.., before, last] = outcome.attempts.as_slice() else { return None };
    let was_rejected = before.reason == Some(Reason::CarrierRejectedCallerId);
    let caller_id =
        last.caller_id.as_ref().filter(|_| was_rejected && outcome.progress == Progress::Dialing)?;
    Some(&caller_id.sent)
}

/// Every end but an approval is worth a second look.
pub(crate) const fn style_of(result: ChallengeResult) -> Style {
    match result {
        ChallengeResult::Approved => Style::Good,
        ChallengeResult::Pending | ChallengeResult::Canceled => Style::Plain,
        ChallengeResult::Denied | ChallengeResult::Expired | ChallengeResult::Failed => Style::Bad,
    }
}

/// The same of a change.
pub(crate) const fn style_of_change(result: EnrollmentResult) -> Style {
    match result {
        EnrollmentResult::Done => Style::Good,
        EnrollmentResult::Pending | EnrollmentResult::Canceled => Style::Plain,
        EnrollmentResult::Refused | EnrollmentResult::Expired => Style::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{approved, dialing_again, done, pending, testing};

    fn text(line: Vec<Span>) -> String {
        line.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_line_grows_with_each_change_and_stops_its_clock_at_the_end() {
        let ms = Duration::from_millis;
        let mut track = Track::new("Alice");
        assert_eq!(text(track.line(ms(0), 7)), "Alice              ");
        track.begin(ms(100));
        for (outcome, at, news) in [
            (pending(1, Progress::Queued), 120, Some("queued")),
            (pending(2, Progress::Ringing), 600, Some("ringing")),
            (pending(3, Progress::Ringing), 700, None),
            (approved(4), 2100, Some("approved ok_key")),
        ] {
            assert_eq!(track.hear(&outcome, ms(at)), news);
        }
        assert_eq!(text(track.line(ms(9000), 7)), "Alice      2.00 s  queued › ringing › approved ok_key");
        assert_eq!(text(track.step("approved ok_key", ms(9000), 7)), "  2.00 s  Alice    approved ok_key");
    }

    #[test]
    fn a_call_from_another_number_says_from_which() {
        let mut track = Track::new("Alice");
        assert_eq!(track.hear(&pending(1, Progress::Dialing), Duration::ZERO), Some("dialing"));
        let again = dialing_again(4, "+442079460000");
        assert_eq!(track.hear(&again, Duration::ZERO), Some("dialing from +442079460000"));
    }

    #[test]
    fn a_change_says_where_it_calls_and_what_it_came_to() {
        let mut track = Track::new("Ruth");
        assert_eq!(track.hear_change(&testing(1), Duration::ZERO), Some("testing +1919*****02"));
        assert_eq!(track.hear_change(&testing(2), Duration::ZERO), None);
        assert_eq!(track.hear_change(&done(4), Duration::ZERO), Some("done ok"));
    }
}
