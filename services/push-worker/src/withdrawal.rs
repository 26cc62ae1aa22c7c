//! Tells the devices that did not answer a challenge that it is over.

use fleet_broker::Verdict;
use fleet_domain::{Challenge, Device, Event, Step, User};
use fleet_engine::Error;
use fleet_records::Stored;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::dispatch::Dispatch;
use crate::fcm::Push;

impl Dispatch {
    /// Tells the devices that did not answer that it is over. What fails is counted, and not tried again: the app finds an
    /// empty list.
    pub(crate) async fn withdraw(&self, stored: Stored) -> Result<Verdict, Error> {
        let devices = devices_to_tell(self.user(&stored.challenge).await?, &stored.challenge);
        let push = Push::withdrawal(&stored.challenge);
        let mut sends: FuturesUnordered<_> =
            devices.iter().filter_map(|device| self.send_to(&push, device)).collect();
        while sends.next().await.is_some() {}
        let settled = self.settle(&stored, Event::Withdrawn).await?;
        self.hand_over_owed(&settled).await
    }
}

/// The devices of all push steps that were gone, but the one that has answered.
fn devices_to_tell(user: Option<User>, challenge: &Challenge) -> Vec<Device> {
    let answered = challenge.live.end.as_ref().and_then(|end| end.device);
    let was_asked = |device: &Device| {
        challenge.request.steps.iter().take(usize::from(challenge.live.step) + 1).any(|step| match step {
            Step::Push { device: only, .. } => only.is_none_or(|only| only == device.id),
            Step::Voice { .. } | Step::Totp { .. } => false,
        })
    };
    let mut devices = user.map(|user| user.devices).unwrap_or_default();
    devices.retain(|device| answered != Some(device.id) && was_asked(device));
    devices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{at, challenge, challenge_with_fallback};
    use fleet_domain::{Assurance, Channel, Decision, DeviceId, UserId, step};

    fn device(number: usize) -> DeviceId {
        DeviceId::parse(&format!("00000000-0000-8000-8000-{number:012}")).unwrap()
    }

    fn user() -> User {
        User {
            id: UserId::parse("kim").unwrap(),
            audience: "staff".into(),
            method: Channel::Push,
            blocked: false,
            has_pin: false,
            pin_locked_until: None,
            totp_locked_until: None,
            bypass: false,
            opted_out: Vec::new(),
            phones: Vec::new(),
            devices: (1..=3)
                .map(|number| Device { id: device(number), push_token: None, has_totp: false })
                .collect(),
        }
    }

    fn told(challenge: &Challenge) -> Vec<DeviceId> {
        devices_to_tell(Some(user()), challenge).into_iter().map(|device| device.id).collect()
    }

    #[test]
    fn e6_all_devices_that_were_asked_are_told_but_the_one_that_answered() {
        let sending = step(&challenge(), &Event::Send { check_after: None }, at(0)).unwrap();
        let pushed = step(&sending, &Event::Pushed { attempt: 1, devices: 3 }, at(1)).unwrap();
        let decision = Decision::Approve { number: Some(true), assurance: Assurance::NumberMatch };
        let answered = step(&pushed, &Event::Decided { device: device(2), decision }, at(2)).unwrap();
        assert_eq!(told(&answered), [device(1), device(3)]);
        let canceled = step(&pushed, &Event::Cancel, at(2)).unwrap();
        assert_eq!(told(&canceled), [device(1), device(2), device(3)]);
        assert_eq!(devices_to_tell(None, &canceled), [], "the user was erased");
    }

    #[test]
    fn a_step_that_was_never_gone_asked_nobody() {
        let mut calls_first = challenge_with_fallback();
        let mut request = (*calls_first.request).clone();
        request.steps.reverse();
        calls_first.request = std::sync::Arc::new(request);
        assert_eq!(told(&step(&calls_first, &Event::Cancel, at(1)).unwrap()), []);
    }
}
