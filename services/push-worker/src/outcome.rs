//! What came of a sending to all devices. Pure.

use std::time::Duration;

use fleet_domain::{Device, DeviceId, Event, Reason};

use crate::fcm::FcmError;

/// The longest time by which re-sends are scattered.
const JITTER_MOST: Duration = Duration::from_secs(5);

/// How one push went that was sent to several devices.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Which sending of its attempt it was, from 1.
    pub(crate) round: u8,
    /// The devices of its step.
    pub(crate) devices: usize,
    /// Those of them that only poll.
    pub(crate) polling: usize,
    /// Those that did not take it, and why; with those to which nothing was sent, since their app was known to be gone.
    pub(crate) failures: Vec<(DeviceId, FcmError)>,
}

impl Sent {
    /// What is known before anything is sent.
    pub(crate) fn before(round: u8, devices: &[Device]) -> Self {
        let gone = devices.iter().filter(|device| device.push_gone);
        Self {
            round,
            devices: devices.len(),
            polling: devices.iter().filter(|device| device.push_token.is_none() && !device.push_gone).count(),
            failures: gone.map(|device| (device.id, FcmError::Unregistered)).collect(),
        }
    }

    /// The event of a sending whose sender died before it said what came of it: any device may show it whose app is not gone.
    pub(crate) fn lost(attempt: u8, round: u8, devices: &[Device]) -> Event {
        let may_show = devices.iter().filter(|device| !device.push_gone);
        Event::Unreached {
            attempt,
            round,
            devices: may_show.map(|device| device.id).collect(),
            again_after: Duration::ZERO,
            provider_code: None,
        }
    }

    /// How many devices show the push if it is taken, or poll for it, as far as is known.
    pub(crate) fn may_show(&self) -> u8 {
        u8::try_from(self.devices.saturating_sub(self.failures.len())).unwrap_or(u8::MAX)
    }

    /// The event of an attempt that no device took.
    ///
    /// Only where the app is gone from every device is nobody left who could answer. Where it is gone from all that do not
    /// just poll, nothing was to be sent. In all other cases the app's own list still shows the challenge.
    pub(crate) fn failed(&self, attempt: u8, random: [u8; 2]) -> Event {
        let only_gone = self.failures.iter().all(|(_, error)| error.reason() == Reason::DeviceUnregistered);
        let reason = match self.devices {
            0 => Reason::NoDevice,
            _ if only_gone && self.polling > 0 => return Event::OnlyListed { attempt },
            devices if only_gone && self.failures.len() == devices => Reason::DeviceUnregistered,
            _ => Reason::PushUndeliverable,
        };
        let provider_code = self.telling().and_then(FcmError::provider_code);
        let failed = Event::PushFailed { attempt, round: self.round, reason, provider_code };
        self.unreached(attempt, random).unwrap_or(failed)
    }

    /// The event that calls for a re-send to the devices that it may not have reached; `None` where it would not help.
    /// FCM gets the longest pause that it asked for, and up to half of that again by chance, so that many pushes do not
    /// return in step.
    pub(crate) fn unreached(&self, attempt: u8, random: [u8; 2]) -> Option<Event> {
        let again =
            || self.failures.iter().filter_map(|(device, error)| Some((*device, error.again_after()?)));
        let pause = again().map(|(_, pause)| pause).max()?;
        let jitter =
            (pause / 2).min(JITTER_MOST) * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX);
        Some(Event::Unreached {
            attempt,
            round: self.round,
            devices: again().map(|(device, _)| device).collect(),
            again_after: pause.saturating_add(jitter),
            provider_code: self.telling().and_then(FcmError::provider_code),
        })
    }

    /// The error that says most: the first that is not just an app that is gone.
    pub(crate) fn telling(&self) -> Option<FcmError> {
        let errors = || self.failures.iter().map(|(_, error)| *error);
        errors().find(|error| !error.retires_token()).or_else(|| errors().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FcmError::{InvalidToken, QuotaExceeded, Unavailable, Unclear, Unregistered, WrongProject};

    fn device(number: usize) -> DeviceId {
        DeviceId::parse(&format!("00000000-0000-8000-8000-{number:012}")).unwrap()
    }

    fn sent(devices: usize, errors: &[FcmError]) -> Sent {
        let failures = errors.iter().enumerate().map(|(number, error)| (device(number), *error));
        Sent { round: 2, devices, polling: 0, failures: failures.collect() }
    }

    fn beside_one_that_polls(errors: &[FcmError]) -> Sent {
        Sent { polling: 1, ..sent(errors.len() + 1, errors) }
    }

    #[test]
    fn a_device_whose_app_was_gone_before_has_failed_already_and_shows_nothing() {
        let token = || fleet_domain::PushToken::new("token".into());
        let have = |number, push_token, push_gone| Device {
            id: device(number),
            push_token,
            push_gone,
            has_totp: false,
        };
        let sent =
            Sent::before(1, &[have(1, Some(token()), false), have(2, None, true), have(3, None, false)]);
        assert_eq!((sent.devices, sent.polling, sent.may_show()), (3, 1, 2));
        assert_eq!(sent.failures, [(device(2), Unregistered)]);
        let all_gone = Sent::before(1, &[have(1, None, true), have(2, None, true)]);
        let Event::PushFailed { reason, .. } = all_gone.failed(1, [0; 2]) else { panic!() };
        assert_eq!(reason, Reason::DeviceUnregistered);
    }

    #[test]
    fn the_failures_of_all_devices_become_one_reason() {
        for (devices, errors, reason, provider_code) in [
            (0, &[][..], Reason::NoDevice, None),
            (1, &[Unregistered], Reason::DeviceUnregistered, Some(404)),
            (2, &[Unregistered, InvalidToken], Reason::DeviceUnregistered, Some(404)),
            (2, &[Unregistered, WrongProject], Reason::PushUndeliverable, Some(404)),
            (1, &[FcmError::TooLate], Reason::PushUndeliverable, None),
            // The other device had it in an earlier round.
            (2, &[Unregistered], Reason::PushUndeliverable, Some(404)),
        ] {
            let expected = Event::PushFailed { attempt: 3, round: 2, reason, provider_code };
            assert_eq!(sent(devices, errors).failed(3, [0; 2]), expected, "{devices} devices, {errors:?}");
        }
        for errors in [&[][..], &[Unregistered], &[InvalidToken, Unregistered]] {
            assert_eq!(beside_one_that_polls(errors).failed(3, [0; 2]), Event::OnlyListed { attempt: 3 });
        }
        let undeliverable = Event::PushFailed {
            attempt: 3,
            round: 2,
            reason: Reason::PushUndeliverable,
            provider_code: Some(404),
        };
        assert_eq!(beside_one_that_polls(&[Unregistered, WrongProject]).failed(3, [0; 2]), undeliverable);
    }

    #[test]
    fn p7_only_devices_that_it_may_not_have_reached_get_a_re_send_and_after_the_longest_pause() {
        let seconds = Duration::from_secs;
        let away = |after| Unavailable { after: Some(seconds(after)) };
        let lost = Unclear { http_status: None };
        for (errors, random, again, pause, provider_code) in [
            (&[away(2)][..], [0, 0], vec![0], seconds(2), Some(503)),
            (&[away(2)], [255, 255], vec![0], seconds(3), Some(503)),
            (&[Unregistered, away(2), WrongProject, lost], [0, 0], vec![1, 3], seconds(10), Some(503)),
            (&[lost, QuotaExceeded { after: None }], [255, 255], vec![0, 1], seconds(65), None),
        ] {
            let expected = Event::Unreached {
                attempt: 3,
                round: 2,
                devices: again.into_iter().map(device).collect(),
                again_after: pause,
                provider_code,
            };
            assert_eq!(sent(9, errors).unreached(3, random).as_ref(), Some(&expected), "{errors:?}");
            assert_eq!(sent(9, errors).failed(3, random), expected, "{errors:?}");
        }
        assert_eq!(sent(2, &[Unregistered, WrongProject]).unreached(3, [0; 2]), None);
    }
}
