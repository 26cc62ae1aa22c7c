//! The conversation after the answer: machine detection, sent digits, then one TwiML document after the other.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::callbacks::call_parameters;
use super::gather::{self, Heard};
use super::line::{Interrupt, Line};
use super::twiml::{self, Document, Failure, Gather, Verb};
use super::webhook::{Hook, Method, Parameters};
use super::{Report, Source, Status, life};
use crate::cast::Press;
use crate::journal::Fact;

/// Carrier time between two keys of a person.
const KEY_PACE: Duration = Duration::from_millis(200);

/// How long Twilio's "an application error has occurred" takes.
const ERROR_MESSAGE: Duration = Duration::from_secs(5);

/// A call in progress and what the callee will key.
pub(super) struct Conversation {
    line: Line,
    presses: std::vec::IntoIter<Press>,
    think: Duration,
}

/// What follows a document.
enum Next {
    Perform(Request),
    HangUp,
}

/// A document to get, and what the request says beside the usual.
struct Request {
    source: Source,
    extra: Parameters,
}

/// A document and the URL that its relative URLs start from; `None` for one given as text.
struct Obtained {
    document: Document,
    base: Option<Url>,
}

impl Conversation {
    pub(super) fn new(line: Line, presses: Vec<Press>, think: Duration) -> Self {
        Self { line, presses: presses.into_iter(), think }
    }

    /// Performs what the customer wants until somebody hangs up.
    pub(super) async fn run(mut self, is_machine: bool) -> Result<(), Interrupt> {
        let order = self.line.call.order.clone();
        let mut next = Request { source: order.source, extra: Vec::new() };
        let opening = self.open(is_machine).await;
        self.unless_redirected(opening, &mut next)?;
        loop {
            let performed = self.turn(&next).await;
            match self.unless_redirected(performed, &mut next)? {
                None => {}
                Some(Next::Perform(request)) => next = request,
                Some(Next::HangUp) => {
                    life::end(&self.line.world, &self.line.call, Status::Completed, 200, "twiml");
                    return Ok(());
                }
            }
        }
    }

    /// A redirect replaces what was to be done next; the end of the call goes on up.
    fn unless_redirected<T>(
        &self,
        result: Result<T, Interrupt>,
        next: &mut Request,
    ) -> Result<Option<T>, Interrupt> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Interrupt::Over) => Err(Interrupt::Over),
            Err(Interrupt::Redirected) => {
                if let Some(source) = self.line.call.state().redirect.take() {
                    *next = Request { source, extra: Vec::new() };
                }
                Ok(None)
            }
        }
    }

    /// Machine detection, then the digits for an extension. Twilio does not do both.
    async fn open(&self, is_machine: bool) -> Result<(), Interrupt> {
        let order = &self.line.call.order;
        if !order.send_digits.is_empty() {
            let pauses = order.send_digits.chars().map(|key| match key {
                'w' => Duration::from_millis(500),
                'W' => Duration::from_secs(1),
                _ => KEY_PACE,
            });
            self.line.pass(pauses.sum()).await?;
            let sid = &self.line.call.sid;
            self.line.world.journal.record(&Fact::DigitsSent { sid, digits: &order.send_digits });
            return Ok(());
        }
        let Some(detection) = &order.detection else { return Ok(()) };
        let (takes, answered_by) = match (is_machine, detection.until_message_end) {
            (false, _) => (Duration::from_secs(2), "human"),
            (true, false) => (Duration::from_secs(4), "machine_start"),
            (true, true) => (Duration::from_secs(12), "machine_end_beep"),
        };
        let (takes, answered_by) =
            if takes > detection.timeout { (detection.timeout, "unknown") } else { (takes, answered_by) };
        match detection.report.clone() {
            // The callee hears silence until the machine is sure.
            Report::BeforeTwiml => {
                self.line.pass(takes).await?;
                self.line.call.state().answered_by = Some(answered_by);
            }
            Report::WhileTheCallGoesOn(hook) => self.report_later(takes, answered_by, hook),
        }
        Ok(())
    }

    /// Asynchronous detection: the call goes on, the result is posted with four parameters and no numbers.
    fn report_later(&self, takes: Duration, answered_by: &'static str, hook: Option<Hook>) {
        let (world, call) = (Arc::clone(&self.line.world), Arc::clone(&self.line.call));
        let tasks = world.tasks.clone();
        tasks.spawn_detail("machine detection", async move {
            tokio::select! {
                () = tokio::time::sleep(world.time.real(takes)) => {}
                () = world.stop.soft() => return,
            }
            if call.state().status != Status::InProgress {
                return;
            }
            call.state().answered_by = Some(answered_by);
            let parameters = vec![
                ("CallSid", call.sid.clone()),
                ("AccountSid", world.account_sid.clone()),
                ("AnsweredBy", answered_by.to_owned()),
                ("MachineDetectionDuration", takes.as_millis().to_string()),
            ];
            if let Some(hook) = hook {
                world.webhooks.send(&hook, &parameters).await;
            }
        });
    }

    /// Gets one document and performs it; on failure the fallback's, then Twilio's own error message.
    async fn turn(&mut self, request: &Request) -> Result<Next, Interrupt> {
        let failure = match self.obtain(request).await? {
            Ok(obtained) => match self.perform(&obtained).await? {
                Ok(next) => return Ok(next),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        self.notify(&failure);
        let fallback = self.line.call.order.fallback.clone().filter(|hook| !is_source(&request.source, hook));
        if let Some(hook) = fallback {
            let failed_url = match &request.source {
                Source::Url(failed) => failed.url.clone(),
                Source::Text(_) => String::new(),
            };
            let extra = vec![("ErrorCode", failure.code.to_string()), ("ErrorUrl", failed_url)];
            return Ok(Next::Perform(Request { source: Source::Url(hook), extra }));
        }
        self.line.pass(ERROR_MESSAGE).await?;
        Ok(Next::HangUp)
    }

    async fn obtain(&self, request: &Request) -> Result<Result<Obtained, Failure>, Interrupt> {
        let hook = match &request.source {
            Source::Text(text) => {
                return Ok(twiml::parse(text).map(|document| Obtained { document, base: None }));
            }
            Source::Url(hook) => hook,
        };
        let (world, call) = (&self.line.world, &self.line.call);
        let mut parameters = call_parameters(&world.account_sid, call, Status::InProgress.word());
        parameters.extend(call.state().answered_by.map(|by| ("AnsweredBy", by.to_owned())));
        parameters.extend(request.extra.iter().cloned());
        let outcome = self.line.during(world.webhooks.send(hook, &parameters)).await?;
        let status = outcome.result.as_ref().ok().map(|reply| reply.status);
        world.journal.record(&Fact::Fetched { sid: &call.sid, url: &hook.url, status, tries: outcome.tries });
        Ok(match outcome.result {
            Err(trouble) => Err(Failure { code: trouble.code(), text: trouble.word().to_owned() }),
            Ok(reply) if !(200..300).contains(&reply.status) => {
                Err(Failure { code: 11200, text: format!("HTTP status {}", reply.status) })
            }
            Ok(reply) => twiml::read(reply.content_type.as_deref(), &reply.body)
                .map(|document| Obtained { document, base: Url::parse(&reply.url).ok() }),
        })
    }

    async fn perform(&mut self, obtained: &Obtained) -> Result<Result<Next, Failure>, Interrupt> {
        for note in &obtained.document.notes {
            self.notify(note);
        }
        for verb in &obtained.document.verbs {
            match verb {
                Verb::Sound(duration) => self.line.pass(*duration).await?,
                Verb::Hangup => return Ok(Ok(Next::HangUp)),
                Verb::Redirect { url, method } => {
                    return Ok(follow(obtained, Some(url), *method, Vec::new()));
                }
                Verb::Gather(gather) => {
                    let heard = self.gather(gather).await;
                    if heard == Err(Interrupt::Over) {
                        self.tell_of_hang_up(obtained, gather).await;
                    }
                    if let Some(extra) = heard? {
                        return Ok(follow(obtained, gather.action.as_deref(), gather.method, extra));
                    }
                }
            }
        }
        Ok(Ok(Next::HangUp))
    }

    /// Listens to the callee; `None` falls through to the next verb.
    async fn gather(&mut self, gather: &Gather) -> Result<Option<Parameters>, Interrupt> {
        let press = self.presses.next();
        let mut keys = Vec::new();
        match &press {
            Some(Press::Keys(text)) => {
                let times = (0_u32..).map(|n| self.think + KEY_PACE * n);
                keys.extend(times.zip(text.chars()));
            }
            Some(Press::HangsUp { hang_up_after }) => {
                self.line.hang_up_at(self.line.world.time.after(*hang_up_after), "callee");
            }
            Some(Press::Silent { .. }) | None => {}
        }
        let Heard { after, digits, finished_on } = gather::listen(&gather.rules, gather.prompts, &keys);
        self.line.pass(after).await?;
        let sid = &self.line.call.sid;
        self.line.world.journal.record(&Fact::Digits { sid, digits: &digits, finished_on });
        if digits.is_empty() && !gather.action_on_empty_result {
            return Ok(None);
        }
        Ok(Some(vec![
            ("Digits", digits),
            ("FinishedOnKey", finished_on.map(String::from).unwrap_or_default()),
            ("msg", "Gather End".to_owned()),
        ]))
    }

    /// Requests the action of the prompt at which the callee has hung up, if it is to hear of that. No document that it
    /// answers can be performed any more.
    async fn tell_of_hang_up(&self, obtained: &Obtained, gather: &Gather) {
        let (world, call) = (&self.line.world, &self.line.call);
        if !world.hang_up_calls_action || call.state().ended_by != Some("callee") {
            return;
        }
        let extra = vec![("Digits", String::new()), ("msg", "Gather End".to_owned())];
        let Ok(Next::Perform(Request { source: Source::Url(hook), extra })) =
            follow(obtained, gather.action.as_deref(), gather.method, extra)
        else {
            return;
        };
        let mut parameters = call_parameters(&world.account_sid, call, Status::Completed.word());
        parameters.extend(extra);
        let outcome = world.webhooks.send(&hook, &parameters).await;
        let status = outcome.result.as_ref().ok().map(|reply| reply.status);
        world.journal.record(&Fact::Fetched { sid: &call.sid, url: &hook.url, status, tries: outcome.tries });
    }

    fn notify(&self, note: &Failure) {
        let sid = &self.line.call.sid;
        self.line.world.journal.record(&Fact::Notification { sid, code: note.code, text: &note.text });
    }
}

fn is_source(source: &Source, hook: &Hook) -> bool {
    match source {
        Source::Url(other) => other == hook,
        Source::Text(_) => false,
    }
}

/// The request that a Redirect or a Gather leads to. Without a URL it is the document's own.
fn follow(from: &Obtained, url: Option<&str>, method: Method, extra: Parameters) -> Result<Next, Failure> {
    let url = match (url, &from.base) {
        // Written as an absolute URL, it stays as it is written: that is what gets signed.
        (Some(url), _) if Url::parse(url).is_ok() => url.to_owned(),
        (Some(url), Some(base)) => match base.join(url) {
            Ok(url) => url.into(),
            Err(_) => return Err(not_a_url(url)),
        },
        (None, Some(base)) => base.as_str().to_owned(),
        // A document given as text has no URL that others could be relative to.
        (url, None) => return Err(not_a_url(url.unwrap_or("the document itself"))),
    };
    Ok(Next::Perform(Request { source: Source::Url(Hook { url, method }), extra }))
}

fn not_a_url(url: &str) -> Failure {
    Failure { code: 11100, text: format!("not an absolute URL: {url}") }
}
