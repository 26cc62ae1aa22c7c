//! What can be in the log, and what a restart takes from it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::Push;
use crate::call::Status;

/// One thing that happened.
#[derive(Serialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub(crate) enum Fact<'a> {
    /// The simulator began to serve.
    Started { base_url: &'a str },
    /// A request to the Calls API was answered, or was made to fail. The status is what carrying it out came to, or
    /// that of the refusal, if any. `to`, `url` and `callback` are those of a create.
    ApiCall {
        method: &'a str,
        path: &'a str,
        status: Option<u16>,
        fault: Option<&'a str>,
        to: Option<&'a str>,
        url: Option<&'a str>,
        callback: Option<&'a str>,
    },
    /// A call was placed. `queue_ms` is what the customer was told of the wait.
    CallCreated {
        sid: &'a str,
        to: &'a str,
        from: &'a str,
        url: Option<&'a str>,
        callback: Option<&'a str>,
        queue_ms: u64,
    },
    /// A call was refused.
    CallRefused { code: u32, to: Option<&'a str>, from: Option<&'a str> },
    /// The request named parameters that the API does not have (Twilio's warning 20001), or bad values of one.
    Ignored { sid: &'a str, parameters: &'a [String] },
    /// The call left the queue, after this much real time in it: it starts now.
    Initiated { sid: &'a str, queued_ms: u64 },
    /// The phone rings.
    Ringing { sid: &'a str },
    /// Somebody or something picked up.
    Answered { sid: &'a str },
    /// `SendDigits` was played to the callee.
    DigitsSent { sid: &'a str, digits: &'a str },
    /// TwiML was asked for.
    Fetched { sid: &'a str, url: &'a str, status: Option<u16>, tries: u32 },
    /// A Gather ended: what was keyed, and the key that ended it.
    Digits { sid: &'a str, digits: &'a str, finished_on: Option<char> },
    /// What Twilio would show in its debugger.
    Notification { sid: &'a str, code: u32, text: &'a str },
    /// The call is over.
    Ended { sid: &'a str, status: Status, sip: Option<u16>, seconds: u64, by: &'a str },
    /// A status callback was sent, or lost on purpose.
    Callback {
        sid: &'a str,
        event: &'a str,
        sequence: u32,
        status: Option<u16>,
        tries: u32,
        error: Option<&'a str>,
        fault: Option<&'a str>,
    },
    /// An access token was asked for.
    Token { error: Option<&'a str> },
    /// A message was accepted (it has a name), or was not (it has an error). A fault may have met the answer.
    Push(PushFact<'a>),
    /// An app was activated, or was not.
    AppActivated { device: Option<Uuid>, status: Option<u16>, error: Option<&'a str> },
    /// An app asked for its open challenges, because of this one; without one it asked by itself, in vain.
    AppListed { device: Uuid, challenge: Option<&'a str>, status: Option<u16>, open: Option<bool> },
    /// An app told that the person is looking.
    AppOpened { device: Uuid, portal: &'a str, challenge: &'a str, status: Option<u16> },
    /// An app answered a challenge. A replayed answer was sent before, for this challenge or another one.
    AppAnswered {
        device: Uuid,
        portal: &'a str,
        challenge: &'a str,
        decision: &'a str,
        status: Option<u16>,
        result: Option<&'a str>,
        replayed: bool,
    },
    /// A push said that a challenge has ended. The app was busy with it and will not answer, or had nothing to withdraw.
    AppWithdrawn { device: Uuid, portal: &'a str, challenge: &'a str, waited: bool },
    /// An app told where its pushes go from now on; without an address, that it wants none.
    PushAddressSent {
        device: Uuid,
        version: i64,
        push: Option<Push<'a>>,
        status: Option<u16>,
        error: Option<&'a str>,
    },
    /// The account was removed from an app.
    AppRevoked { device: Uuid, status: Option<u16>, error: Option<&'a str> },
}

/// What is known of a message.
#[derive(Default, Serialize)]
pub(crate) struct PushFact<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) fid: Option<&'a str>,
    pub(crate) device: Option<Uuid>,
    pub(crate) event: Option<&'a str>,
    pub(crate) portal: Option<&'a str>,
    pub(crate) challenge: Option<&'a str>,
    /// The name that FCM gave it.
    pub(crate) name: Option<&'a str>,
    pub(crate) error: Option<&'a str>,
    pub(crate) fault: Option<&'a str>,
}

/// A call as the log tells it.
pub(crate) struct RememberedCall {
    pub(crate) sid: String,
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) created: i64,
    /// When it left the queue.
    pub(crate) started: Option<i64>,
    /// When and how it ended; `None` for a call that lived when the log stops.
    pub(crate) end: Option<RememberedEnd>,
}

/// How a remembered call ended.
pub(crate) struct RememberedEnd {
    pub(crate) at: i64,
    pub(crate) status: Status,
    pub(crate) sip: Option<u16>,
    pub(crate) seconds: u64,
}

#[derive(Deserialize)]
struct Line {
    at: String,
    fact: String,
    sid: Option<String>,
    to: Option<String>,
    from: Option<String>,
    status: Option<serde_json::Value>,
    sip: Option<u16>,
    seconds: Option<u64>,
}

/// The calls of the log, oldest first. Lines that a crash cut short are passed over.
pub(crate) fn remembered_calls(path: &Path) -> io::Result<Vec<RememberedCall>> {
    let mut calls: Vec<RememberedCall> = Vec::new();
    let mut places = HashMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        // Pushes are most of a benchmark's log and say nothing about calls.
        if !line.contains(r#""sid":"CA"#) {
            continue;
        }
        let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
        let (Some(sid), Some(at)) = (line.sid, crate::dates::parse_rfc3339(&line.at)) else { continue };
        if line.fact == "call_created" {
            places.insert(sid.clone(), calls.len());
            let (to, from) = (line.to.unwrap_or_default(), line.from.unwrap_or_default());
            calls.push(RememberedCall { sid, to, from, created: at, started: None, end: None });
            continue;
        }
        let Some(call) = places.get(&sid).and_then(|place| calls.get_mut(*place)) else { continue };
        if line.fact == "initiated" {
            call.started = Some(at);
        } else if line.fact == "ended" {
            let status = line.status.and_then(|status| serde_json::from_value(status).ok());
            call.end = Some(RememberedEnd {
                at,
                status: status.unwrap_or(Status::Failed),
                sip: line.sip,
                seconds: line.seconds.unwrap_or(0),
            });
        }
    }
    Ok(calls)
}
