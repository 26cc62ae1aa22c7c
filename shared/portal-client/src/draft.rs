//! A challenge before it is asked for.

use std::time::Duration;

use bytes::Bytes;
use fleet_broker::{Exchange, Message};
use fleet_contracts::{
    ChallengeRequest, CodeEntered, Event, Invalid, NumberMatch, OneTimeCode, WorkflowStep,
};
use fleet_domain::{ChallengeId, Channel, Context, PortalName, Target, Timestamp, UserId};
use fleet_keys::random_bytes;

/// The media type of messages.
const CONTENT_TYPE: &str = "application/cloudevents+json";

/// A challenge to be asked for. Its id and times are fixed when it is made, so sending the same draft again is harmless.
#[derive(Clone, Debug)]
pub struct Draft {
    request: ChallengeRequest,
    channel: Option<Channel>,
    made_at: Timestamp,
}

impl Draft {
    /// A challenge by the user's own method, under the portal's policy.
    pub(crate) fn new(user: UserId, now: Timestamp) -> Self {
        let id = ChallengeId::from_parts(now, random_bytes());
        Self { request: ChallengeRequest::new(id, user), channel: None, made_at: now }
    }

    /// By this channel rather than by the user's own method.
    #[must_use]
    pub fn by(mut self, channel: Channel) -> Self {
        self.channel = Some(channel);
        self
    }

    /// To another phone than the primary, or to one device.
    #[must_use]
    pub fn to(mut self, target: Target) -> Self {
        self.request.target = Some(target);
        self
    }

    /// One more channel to try, in the order of these calls; each for so long at most.
    #[must_use]
    pub fn then_by(mut self, channel: Channel, target: Target, timeout: Option<Duration>) -> Self {
        let timeout_s = timeout.map(|timeout| u16::try_from(timeout.as_secs()).unwrap_or(u16::MAX));
        self.request.workflow.push(WorkflowStep { channel, target: Some(target), timeout_s });
        self
    }

    /// With two digits, drawn here, that the portal shows (`number`) and the person keys or types.
    #[must_use]
    pub fn with_number(mut self) -> Self {
        // 10 to 99 from 64 bits: no number is likelier than another by more than one part in 10^17.
        let number = 10 + u64::from_le_bytes(random_bytes()) % 90;
        self.request.number_match = NumberMatch::parse(&number.to_string());
        self
    }

    /// The same with digits that the portal has drawn itself.
    #[must_use]
    pub fn showing(mut self, number: NumberMatch) -> Self {
        self.request.number_match = Some(number);
        self
    }

    /// To be answered within so long, instead of what the portal's policy says.
    #[must_use]
    pub fn answer_within(mut self, time: Duration) -> Self {
        self.request.answer_by = Some(self.made_at.plus(time));
        self
    }

    /// What the person is told about the sign-in.
    #[must_use]
    pub fn context(mut self, context: Context) -> Self {
        self.request.context = context;
        self
    }

    /// The language of prompts and help (BCP 47).
    #[must_use]
    pub fn locale(mut self, locale: &str) -> Self {
        self.request.locale = Some(locale.to_owned());
        self
    }

    /// The challenge's id.
    pub fn id(&self) -> ChallengeId {
        self.request.challenge_id
    }

    /// The digits to show, if it has any. For the screen alone.
    pub fn number(&self) -> Option<&str> {
        self.request.number_match.as_ref().map(NumberMatch::reveal)
    }

    /// The message that asks for it.
    pub(crate) fn message(&self, portal: &PortalName) -> Result<Message, Invalid> {
        let routing_key = match self.channel {
            Some(Channel::Voice) => "challenge.voice",
            Some(Channel::Push) => "challenge.push",
            Some(Channel::Totp) => "challenge.totp",
            None => "challenge.default",
        };
        let asked = fleet_contracts::Message::ChallengeRequested(self.request.clone());
        let mut event = Event::new(self.id().to_string(), &source(portal), self.made_at, asked);
        event.subject = Some(self.request.user_id.as_str().to_owned());
        request(routing_key, &event)
    }
}

/// The message that calls a challenge off.
pub(crate) fn cancel(portal: &PortalName, id: ChallengeId, now: Timestamp) -> Result<Message, Invalid> {
    let cancel = fleet_contracts::CancelRequest { challenge_id: id };
    let message = fleet_contracts::Message::CancelRequested(cancel);
    request("control.cancel", &Event::new(format!("{id}/cancel"), &source(portal), now, message))
}

/// The message that brings a code: a new try each time.
pub(crate) fn code(
    portal: &PortalName,
    (id, code): (ChallengeId, OneTimeCode),
    now: Timestamp,
) -> Result<Message, Invalid> {
    let event_id = format!("{id}/code/{:016x}", u64::from_le_bytes(random_bytes()));
    let message = fleet_contracts::Message::CodeEntered(CodeEntered { challenge_id: id, code });
    request("challenge.code", &Event::new(event_id, &source(portal), now, message))
}

/// The message that has a push sent once more.
pub(crate) fn resend(portal: &PortalName, id: ChallengeId, now: Timestamp) -> Result<Message, Invalid> {
    let resend = fleet_contracts::ResendRequest { challenge_id: id };
    let message = fleet_contracts::Message::ResendRequested(resend);
    request("control.resend", &Event::new(format!("{id}/resend"), &source(portal), now, message))
}

pub(crate) fn source(portal: &PortalName) -> String {
    format!("/portals/{portal}")
}

/// Checks the event as the fleet will, since the fleet's refusal would come later and by another way.
pub(crate) fn request(routing_key: &str, event: &Event) -> Result<Message, Invalid> {
    let body = event.to_json();
    fleet_contracts::parse(body.as_bytes())?;
    Ok(Message {
        exchange: Exchange::Requests,
        routing_key: routing_key.to_owned(),
        body: Bytes::from(body),
        message_id: event.id.clone(),
        portal: None,
        content_type: CONTENT_TYPE.to_owned(),
        mandatory: true,
        traceparent: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft::new(UserId::parse("avery.lee").unwrap(), Timestamp::from_micros(1_790_000_000_000_000))
    }

    fn portal() -> PortalName {
        PortalName::parse("vpn").unwrap()
    }

    #[test]
    fn a_draft_sent_again_is_the_same_message() {
        let draft = draft().with_number().answer_within(Duration::from_mins(1));
        assert_eq!(draft.message(&portal()).unwrap(), draft.message(&portal()).unwrap());
    }

    #[test]
    fn the_channel_decides_the_routing_key() {
        for (draft, key) in [
            (draft(), "challenge.default"),
            (draft().by(Channel::Voice), "challenge.voice"),
            (draft().by(Channel::Push), "challenge.push"),
            (draft().by(Channel::Totp), "challenge.totp"),
        ] {
            assert_eq!(draft.message(&portal()).unwrap().routing_key, key);
        }
    }

    #[test]
    fn each_code_that_is_typed_is_a_message_of_its_own() {
        let typed = OneTimeCode::parse_typed("492 039").unwrap();
        let entered = || code(&portal(), (draft().id(), typed.clone()), Timestamp::default()).unwrap();
        let (one, other) = (entered(), entered());
        assert_eq!((one.routing_key.as_str(), one.mandatory), ("challenge.code", true));
        assert_ne!(one.message_id, other.message_id);
        assert!(!format!("{typed:?}").contains("492"));
    }

    #[test]
    fn a_draft_that_breaks_the_contract_names_the_field() {
        let own = |name: &str| fleet_domain::Field { name: name.to_owned(), value: String::new() };
        let many = Context { fields: (0..21).map(|n| own(&format!("f{n}"))).collect(), ..Context::default() };
        for (draft, field) in [
            (draft().context(many), "data.context.fields"),
            (draft().locale("not a locale"), "data.locale"),
            (
                draft().then_by(Channel::Voice, Target::Primary, Some(Duration::from_secs(1))),
                "data.workflow[0].timeout_s",
            ),
        ] {
            assert_eq!(draft.message(&portal()).unwrap_err().field, field);
        }
    }

    #[test]
    fn numbers_are_two_digits_and_are_not_shown_by_debug() {
        for _ in 0..200 {
            let draft = draft().with_number();
            let number = draft.number().unwrap();
            assert!(number.len() == 2 && number.parse::<u8>().unwrap() >= 10, "{number}");
            assert!(!format!("{draft:?}").contains(&format!("\"{number}\"")));
        }
    }
}
