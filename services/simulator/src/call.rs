//! Calls: the order that placed one, where it stands, and the book that keeps them.
//!
//! `queue` holds calls until their turn, `life` plays one to its end, `line` waits inside it, `conversation` performs TwiML,
//! `callbacks` tells the customer; `twiml`, `gather`, `signature`, `webhook` and `overrides` are their tools.

pub(crate) mod callbacks;
mod conversation;
mod gather;
pub(crate) mod life;
mod line;
mod overrides;
pub(crate) mod queue;
pub(crate) mod signature;
mod twiml;
pub(crate) mod webhook;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use webhook::{Hook, Method};

use crate::journal::RememberedCall;

/// Where a call stands, in the words of the Call resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Queued,
    Ringing,
    InProgress,
    Completed,
    Busy,
    Failed,
    NoAnswer,
    Canceled,
}

impl Status {
    pub(crate) const ALL: [Self; 8] = [
        Self::Queued,
        Self::Ringing,
        Self::InProgress,
        Self::Completed,
        Self::Busy,
        Self::Failed,
        Self::NoAnswer,
        Self::Canceled,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Canceled => "canceled",
        }
    }

    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => true,
        }
    }

    /// What a call becomes that the network ended with this SIP code. Twilio publishes no such table; these
    /// are the observed pairs.
    pub(crate) fn of_sip(code: u16) -> Self {
        match code {
            486 | 600 => Self::Busy,
            487 | 603 => Self::NoAnswer,
            _ => Self::Failed,
        }
    }
}

/// What a status callback can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Initiated,
    Ringing,
    Answered,
    Completed,
}

impl Event {
    pub(crate) const ALL: [Self; 4] = [Self::Initiated, Self::Ringing, Self::Answered, Self::Completed];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
        }
    }
}

/// Where a TwiML document comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Url(Hook),
    Text(String),
}

/// How the customer wants machines told from people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Detection {
    /// Wait for the end of the machine's greeting.
    pub(crate) until_message_end: bool,
    /// After this much carrier time the answer is `unknown`.
    pub(crate) timeout: Duration,
    pub(crate) report: Report,
}

/// When the result of machine detection is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// On the first TwiML request, which waits for it.
    BeforeTwiml,
    /// By a callback of its own, if there is a URL for it.
    WhileTheCallGoesOn(Option<Hook>),
}

/// What the customer asked for. Nothing of it changes, but for the status callback by an update.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) source: Source,
    pub(crate) fallback: Option<Hook>,
    pub(crate) status_callback: Option<Hook>,
    pub(crate) events: Vec<Event>,
    pub(crate) send_digits: String,
    pub(crate) ring_timeout: Duration,
    pub(crate) time_limit: Duration,
    pub(crate) detection: Option<Detection>,
}

/// A call.
pub(crate) struct Call {
    pub(crate) sid: String,
    pub(crate) order: Order,
    /// When it was created, in microseconds since the Unix epoch.
    pub(crate) created: i64,
    /// How long it waits for its turn, in real time.
    pub(crate) queue_time: Duration,
    state: Mutex<State>,
    /// Wakes the one task that plays the call: it has ended, or was redirected.
    changed: Notify,
}

/// What changes in a call.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) status: Status,
    /// Callbacks fired so far.
    pub(crate) fired: u32,
    pub(crate) started: Option<i64>,
    pub(crate) answered: Option<i64>,
    pub(crate) ended: Option<i64>,
    /// Seconds of carrier time from the answer to the end.
    pub(crate) seconds: u64,
    pub(crate) sip: Option<u16>,
    /// Who or what ended it, in the words of the log.
    pub(crate) ended_by: Option<&'static str>,
    pub(crate) answered_by: Option<&'static str>,
    /// A document that an update wants performed now.
    pub(crate) redirect: Option<Source>,
    pub(crate) status_callback: Option<Hook>,
    /// A callback kept back by a fault, to be sent after the next one.
    pub(crate) kept_back: Option<callbacks::Callback>,
}

impl State {
    /// Begun minutes of a call that was answered and has ended; every answered call is billed for one at least.
    pub(crate) fn billed_minutes(&self) -> Option<u64> {
        (self.status == Status::Completed).then(|| self.seconds.div_ceil(60).max(1))
    }
}

impl Call {
    pub(crate) fn new(order: Order, created: i64, queue_time: Duration) -> Self {
        let state = State {
            status: Status::Queued,
            fired: 0,
            started: None,
            answered: None,
            ended: None,
            seconds: 0,
            sip: None,
            ended_by: None,
            answered_by: None,
            redirect: None,
            status_callback: order.status_callback.clone(),
            kept_back: None,
        };
        let (state, changed) = (Mutex::new(state), Notify::new());
        Self { sid: crate::ids::sid("CA"), order, created, queue_time, state, changed }
    }

    /// A call of an earlier run. One that lived when that run stopped has failed with it.
    pub(crate) fn remembered(past: &RememberedCall, now: i64) -> Self {
        let order = Order {
            to: past.to.clone(),
            from: past.from.clone(),
            source: Source::Text(String::new()),
            fallback: None,
            status_callback: None,
            events: Vec::new(),
            send_digits: String::new(),
            ring_timeout: Duration::ZERO,
            time_limit: Duration::ZERO,
            detection: None,
        };
        let call = Self { sid: past.sid.clone(), ..Self::new(order, past.created, Duration::ZERO) };
        {
            let mut state = call.state();
            state.started = past.started;
            state.status = past.end.as_ref().map_or(Status::Failed, |end| end.status);
            state.ended = Some(past.end.as_ref().map_or(now, |end| end.at));
            state.seconds = past.end.as_ref().map_or(0, |end| end.seconds);
            state.sip = past.end.as_ref().and_then(|end| end.sip);
        }
        call
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the task that plays the call.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }
}

/// Every call the API can show, newest last.
pub(crate) struct CallBook {
    calls: Mutex<Pages>,
    keep: usize,
}

#[derive(Default)]
struct Pages {
    by_sid: HashMap<String, Arc<Call>>,
    by_to: HashMap<String, VecDeque<Arc<Call>>>,
    in_order: VecDeque<Arc<Call>>,
}

impl CallBook {
    pub(crate) fn new(keep: usize) -> Self {
        Self { calls: Mutex::default(), keep }
    }

    pub(crate) fn add(&self, call: Arc<Call>) {
        let mut pages = self.pages();
        pages.by_sid.insert(call.sid.clone(), Arc::clone(&call));
        pages.by_to.entry(call.order.to.clone()).or_default().push_back(Arc::clone(&call));
        pages.in_order.push_back(call);
        while pages.in_order.len() > self.keep {
            match pages.in_order.front() {
                Some(oldest) if oldest.state().status.is_final() => {}
                Some(_) | None => return,
            }
            if let Some(oldest) = pages.in_order.pop_front() {
                pages.forget(&oldest);
            }
        }
    }

    pub(crate) fn get(&self, sid: &str) -> Option<Arc<Call>> {
        self.pages().by_sid.get(sid).cloned()
    }

    pub(crate) fn remove(&self, call: &Arc<Call>) {
        let mut pages = self.pages();
        pages.forget(call);
        pages.in_order.retain(|other| other.sid != call.sid);
    }

    /// The calls to one number, or all of them, newest first.
    pub(crate) fn newest_first(&self, to: Option<&str>) -> Vec<Arc<Call>> {
        let pages = self.pages();
        match to {
            Some(to) => pages.by_to.get(to).into_iter().flatten().rev().cloned().collect(),
            None => pages.in_order.iter().rev().cloned().collect(),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn forget(&mut self, call: &Call) {
        self.by_sid.remove(&call.sid);
        if let Some(calls) = self.by_to.get_mut(&call.order.to) {
            // Nearly always it is the oldest; a benchmark's single number has very many others.
            if calls.front().is_some_and(|oldest| oldest.sid == call.sid) {
                calls.pop_front();
            } else {
                calls.retain(|other| other.sid != call.sid);
            }
            if calls.is_empty() {
                self.by_to.remove(&call.order.to);
            }
        }
    }
}
