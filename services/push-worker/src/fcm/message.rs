//! What a push says: that there is a challenge, and which. Nothing secret; the app fetches everything else with
//! a signed request.

use std::sync::Arc;
use std::time::Duration;

use fleet_domain::{Challenge, ChallengeKey, Portal, PushToken, Timestamp};
use serde::{Serialize, Serializer};

/// The time that a person needs to answer: a push that arrives later than this before the end is of no use.
const ANSWER: Duration = Duration::from_secs(5);

/// What the phone shows where the app itself does not take the push up.
const TITLE: &str = "Sign-in request";

/// The push of one challenge, for any number of devices.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    key: ChallengeKey,
    id: String,
    portal: Option<Arc<Portal>>,
    answer_by: Timestamp,
}

impl Push {
    /// The push of this challenge. `portal` is where the organisation's name comes from.
    pub(crate) fn new(challenge: &Challenge, portal: Option<Arc<Portal>>) -> Self {
        let key = challenge.key.clone();
        Self { id: key.id.to_string(), key, portal, answer_by: challenge.request.answer_by }
    }

    /// When the challenge must be answered.
    pub(crate) const fn answer_by(&self) -> Timestamp {
        self.answer_by
    }

    /// Whole seconds for which the push is worth delivering; `None` when it cannot arrive in time any more.
    pub(crate) fn ttl_s(&self, now: Timestamp) -> Option<u64> {
        Some(self.answer_by.minus(ANSWER).since(now).as_secs()).filter(|seconds| *seconds > 0)
    }

    /// The body of the request that sends it to one device.
    pub(crate) fn body(&self, token: &PushToken, ttl_s: u64) -> serde_json::Result<Vec<u8>> {
        let organisation = match &self.portal {
            Some(portal) => portal.title.as_str(),
            None => self.key.portal.as_str(),
        };
        let body = Body {
            message: Message {
                token: token.reveal(),
                notification: Notification { title: TITLE, body: organisation },
                data: Data { portal: self.key.portal.as_str(), challenge_id: &self.id },
                android: Android {
                    priority: "HIGH",
                    ttl: Seconds(ttl_s),
                    collapse_key: &self.id,
                    notification: Tag { tag: &self.id },
                },
                apns: Apns {
                    headers: ApnsHeaders {
                        priority: "10",
                        push_type: "alert",
                        expiration: Text(self.answer_by.minus(ANSWER).as_secs()),
                        collapse_id: &self.id,
                    },
                },
            },
        };
        let mut bytes = Vec::with_capacity(1_024);
        serde_json::to_writer(&mut bytes, &body)?;
        Ok(bytes)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    token: &'a str,
    notification: Notification<'a>,
    data: Data<'a>,
    android: Android<'a>,
    apns: Apns<'a>,
}

/// High-priority messages that show nothing lose their priority, and iOS shows nothing else.
#[derive(Serialize)]
struct Notification<'a> {
    title: &'a str,
    body: &'a str,
}

/// FCM takes texts only.
#[derive(Serialize)]
struct Data<'a> {
    portal: &'a str,
    challenge_id: &'a str,
}

#[derive(Serialize)]
struct Android<'a> {
    priority: &'a str,
    ttl: Seconds,
    /// A re-send replaces what still waits at FCM …
    collapse_key: &'a str,
    notification: Tag<'a>,
}

/// … and what the phone shows already.
#[derive(Serialize)]
struct Tag<'a> {
    tag: &'a str,
}

#[derive(Serialize)]
struct Apns<'a> {
    headers: ApnsHeaders<'a>,
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
    use super::*;
    use crate::examples;

    #[test]
    fn the_body_is_exactly_this() {
        let challenge = examples::challenge();
        let push = Push::new(&challenge, Some(examples::portal()));
        let body = push.body(&PushToken::new("device-token".into()), 55).unwrap();
        let golden = include_str!("../../tests/fixtures/message.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), golden);
    }

    #[test]
    fn a_title_is_escaped_and_a_portal_without_one_is_named() {
        let challenge = examples::challenge();
        let mut portal = Portal::clone(&examples::portal());
        portal.title = "A \"quoted\"\n name".into();
        let token = PushToken::new("t".into());
        for (portal, shown) in [(Some(Arc::new(portal)), "A \"quoted\"\n name"), (None, "operations")] {
            let body = Push::new(&challenge, portal).body(&token, 1).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["message"]["notification"]["body"], shown);
        }
    }

    #[test]
    fn p9_the_ttl_is_the_whole_seconds_left_less_five_and_nothing_is_sent_too_late() {
        let push = Push::new(&examples::challenge(), None);
        for (left_ms, ttl_s) in [
            (120_000, Some(115)),
            (60_999, Some(55)),
            (60_000, Some(55)),
            (6_000, Some(1)),
            (5_999, None),
            (5_000, None),
            (0, None),
        ] {
            let now = push.answer_by().minus(Duration::from_millis(left_ms));
            assert_eq!(push.ttl_s(now), ttl_s, "{left_ms} ms left");
        }
        assert_eq!(push.ttl_s(push.answer_by().plus(Duration::from_secs(1))), None);
    }
}
