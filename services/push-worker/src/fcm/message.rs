//! What a push says: that there is a challenge, or that it is over, and which. Nothing secret; the app fetches everything
//! else with a signed request.

use std::sync::Arc;

use fleet_domain::{Challenge, ChallengeKey, PUSH_ANSWER, Portal, PushToken, Timestamp, push_ttl_s};
use serde::{Serialize, Serializer};

/// What an iPhone shows where the app itself does not take the push up.
const TITLE: &str = "Sign-in request";

/// The push of one challenge, for any number of devices.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    key: ChallengeKey,
    id: String,
    kind: Kind,
    answer_by: Timestamp,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Something waits for an answer; with the portal, where the organisation's name comes from.
    Prompt(Option<Arc<Portal>>),
    /// It was answered elsewhere, or called off.
    Withdrawal,
}

impl Push {
    /// The push that asks for an answer. `portal` is where the organisation's name comes from.
    pub(crate) fn prompt(challenge: &Challenge, portal: Option<Arc<Portal>>) -> Self {
        Self::new(challenge, Kind::Prompt(portal))
    }

    /// The push that takes a prompt back.
    pub(crate) fn withdrawal(challenge: &Challenge) -> Self {
        Self::new(challenge, Kind::Withdrawal)
    }

    fn new(challenge: &Challenge, kind: Kind) -> Self {
        let key = challenge.key.clone();
        Self { id: key.id.to_string(), key, kind, answer_by: challenge.request.answer_by }
    }

    /// Whether it asks for an answer.
    pub(crate) const fn is_prompt(&self) -> bool {
        match self.kind {
            Kind::Prompt(_) => true,
            Kind::Withdrawal => false,
        }
    }

    /// When the challenge must be answered.
    pub(crate) const fn answer_by(&self) -> Timestamp {
        self.answer_by
    }

    /// Whole seconds for which the push is worth delivering; `None` when it cannot arrive in time any more.
    pub(crate) fn ttl_s(&self, now: Timestamp) -> Option<u64> {
        match self.kind {
            Kind::Prompt(_) => push_ttl_s(self.answer_by, now),
            Kind::Withdrawal => Some(self.answer_by.since(now).as_secs()).filter(|seconds| *seconds > 0),
        }
    }

    /// The body of the request that sends it to one device.
    pub(crate) fn body(&self, to: &PushToken, ttl_s: u64) -> serde_json::Result<Vec<u8>> {
        let (token, fid) = if to.is_fid() { (None, Some(to.reveal())) } else { (Some(to.reveal()), None) };
        let data = |event| Data { event, portal: self.key.portal.as_str(), challenge_id: &self.id };
        let android = |priority| Android { priority, ttl: Seconds(ttl_s), collapse_key: &self.id };
        let headers = |priority, push_type, expiration: Timestamp| ApnsHeaders {
            priority,
            push_type,
            expiration: Text(expiration.as_secs()),
            collapse_id: &self.id,
        };
        let message = match &self.kind {
            Kind::Prompt(portal) => {
                let name = portal.as_ref().map_or(self.key.portal.as_str(), |portal| portal.title.as_str());
                Message {
                    token,
                    fid,
                    data: data("challenge"),
                    android: android("HIGH"),
                    apns: Apns {
                        headers: headers("10", "alert", self.answer_by.minus(PUSH_ANSWER)),
                        payload: Payload { aps: Aps::alert(name) },
                    },
                }
            }
            Kind::Withdrawal => Message {
                token,
                fid,
                data: data("ended"),
                // It shows nothing, and high priority is taken from apps whose messages show nothing.
                android: android("NORMAL"),
                apns: Apns {
                    headers: headers("5", "background", self.answer_by),
                    payload: Payload { aps: Aps::BACKGROUND },
                },
            },
        };
        let mut bytes = Vec::with_capacity(1_024);
        serde_json::to_writer(&mut bytes, &Body { message })?;
        Ok(bytes)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    message: Message<'a>,
}

/// Without a `notification`: on Android the app shows one of its own, which it can replace and withdraw.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fid: Option<&'a str>,
    data: Data<'a>,
    android: Android<'a>,
    apns: Apns<'a>,
}

/// FCM takes texts only.
#[derive(Serialize)]
struct Data<'a> {
    event: &'a str,
    portal: &'a str,
    challenge_id: &'a str,
}

#[derive(Serialize)]
struct Android<'a> {
    priority: &'a str,
    ttl: Seconds,
    /// A re-send or a withdrawal replaces what still waits at FCM.
    collapse_key: &'a str,
}

#[derive(Serialize)]
struct Apns<'a> {
    headers: ApnsHeaders<'a>,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct ApnsHeaders<'a> {
    #[serde(rename = "apns-priority")]
    priority: &'a str,
    #[serde(rename = "apns-push-type")]
    push_type: &'a str,
    #[serde(rename = "apns-expiration")]
    expiration: Text,
    #[serde(rename = "apns-collapse-id")]
    collapse_id: &'a str,
}

#[derive(Serialize)]
struct Payload<'a> {
    aps: Aps<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Aps<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<Alert<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mutable_content: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_available: Option<u8>,
}

#[derive(Serialize)]
struct Alert<'a> {
    title: &'a str,
    body: &'a str,
}

impl<'a> Aps<'a> {
    const BACKGROUND: Self =
        Self { alert: None, sound: None, mutable_content: None, content_available: Some(1) };

    /// The app's extension may fetch the challenge first and say more.
    const fn alert(organisation: &'a str) -> Self {
        let alert = Some(Alert { title: TITLE, body: organisation });
        Self { alert, sound: Some("default"), mutable_content: Some(1), content_available: None }
    }
}

/// A duration as Google's APIs write it.
struct Seconds(u64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0))
    }
}

/// A number that is sent as a text.
struct Text(i64);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::examples;

    fn json(push: &Push, to: &PushToken) -> serde_json::Value {
        serde_json::from_slice(&push.body(to, 55).unwrap()).unwrap()
    }

    fn token() -> PushToken {
        PushToken::new("device-token".into())
    }

    #[test]
    fn the_body_is_exactly_this() {
        let challenge = examples::challenge();
        let prompt = Push::prompt(&challenge, Some(examples::portal()));
        for (push, golden) in [
            (prompt, include_str!("../../tests/fixtures/message.json")),
            (Push::withdrawal(&challenge), include_str!("../../tests/fixtures/withdrawal.json")),
        ] {
            let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
            assert_eq!(json(&push, &token()), golden);
        }
    }

    #[test]
    fn an_installation_is_named_as_one_and_never_as_a_token() {
        let push = Push::prompt(&examples::challenge(), None);
        for (to, has, lacks) in [(PushToken::fid("f".into()), "fid", "token"), (token(), "token", "fid")] {
            let message = json(&push, &to)["message"].take();
            assert_eq!((message[has].as_str(), message.get(lacks)), (Some(to.reveal()), None));
        }
    }

    #[test]
    fn a_title_is_escaped_and_a_portal_without_one_is_named() {
        let challenge = examples::challenge();
        let mut portal = Portal::clone(&examples::portal());
        portal.title = "A \"quoted\"\n name".into();
        for (portal, shown) in [(Some(Arc::new(portal)), "A \"quoted\"\n name"), (None, "operations")] {
            let body = json(&Push::prompt(&challenge, portal), &token());
            assert_eq!(body["message"]["apns"]["payload"]["aps"]["alert"]["body"], shown);
        }
    }

    #[test]
    fn p9_the_ttl_is_the_whole_seconds_left_less_five_and_nothing_is_sent_too_late() {
        let challenge = examples::challenge();
        let (prompt, withdrawal) = (Push::prompt(&challenge, None), Push::withdrawal(&challenge));
        for (left_ms, ttl_s, withdrawn_s) in [
            (120_000, Some(115), Some(120)),
            (60_999, Some(55), Some(60)),
            (60_000, Some(55), Some(60)),
            (6_000, Some(1), Some(6)),
            (5_999, None, Some(5)),
            (1_000, None, Some(1)),
            (999, None, None),
            (0, None, None),
        ] {
            let now = prompt.answer_by().minus(Duration::from_millis(left_ms));
            assert_eq!((prompt.ttl_s(now), withdrawal.ttl_s(now)), (ttl_s, withdrawn_s), "{left_ms} ms left");
        }
        let over = prompt.answer_by().plus(Duration::from_secs(1));
        assert_eq!((prompt.ttl_s(over), withdrawal.ttl_s(over)), (None, None));
    }
}
