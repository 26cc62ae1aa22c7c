//! Tells the devices that did not answer a challenge that it is over.

use fleet_broker::Verdict;
use fleet_domain::{Challenge, Device, End, Event};
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
        let devices = devices_to_tell(self.all_devices(&stored.challenge).await?, &stored.challenge);
        let push = Push::withdrawal(&stored.challenge);
        let mut sends: FuturesUnordered<_> =
            devices.iter().filter_map(|device| self.send_to(&push, device)).collect();
        while sends.next().await.is_some() {}
        let settled = self.settle(&stored, &Event::Withdrawn).await?;
        self.hand_over_owed(&settled).await
    }
}

/// The devices of all push steps that were gone, but the one that has answered.
fn devices_to_tell(mut devices: Vec<Device>, challenge: &Challenge) -> Vec<Device> {
    let answered = challenge.live.end.as_ref().and_then(End::answered_by);
    let was_asked = |device: &Device| challenge.begun_steps().any(|step| step.asks(device.id));
    devices.retain(|device| answered != Some(device.id) && was_asked(device));
    devices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{at, challenge, challenge_with_fallback};
    use fleet_domain::{Assurance, CodeVerdict, Decision, DeviceId, Step, step};

    fn device(number: usize) -> DeviceId {
        DeviceId::parse(&format!("00000000-0000-8000-8000-{number:012}")).unwrap()
    }

    fn told(challenge: &Challenge) -> Vec<DeviceId> {
        let device =
            |number| Device { id: device(number), push_token: None, push_gone: false, has_totp: false };
        devices_to_tell((1..=3).map(device).collect(), challenge)
            .into_iter()
            .map(|device| device.id)
            .collect()
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
    }

    #[test]
    fn e6_the_device_whose_code_was_typed_is_told_too() {
        let mut by_code = challenge();
        let mut request = (*by_code.request).clone();
        request.steps.push(Step::Totp { device: None, timeout_ms: None });
        let Step::Push { timeout_ms, .. } = &mut request.steps[0] else { panic!() };
        *timeout_ms = Some(5_000);
        by_code.request = std::sync::Arc::new(request);
        let id = [1; 16];
        let events = [
            (Event::Send { check_after: None }, 0),
            (Event::Pushed { attempt: 1, devices: 3 }, 1),
            (Event::Check { attempt: 1 }, 7),
            (Event::CodeEntered { attempt: 2, id }, 8),
            (Event::CodeJudged { attempt: 2, id, verdict: CodeVerdict::Right(device(2)) }, 9),
        ];
        let approved =
            events.iter().fold(by_code, |c, (event, second)| step(&c, event, at(*second)).unwrap());
        assert_eq!(told(&approved), [device(1), device(2), device(3)]);
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
