//! What came of a sending to all devices. Pure.

use std::time::Duration;

use fleet_domain::{DeviceId, Event, Reason};

use crate::fcm::FcmError;

/// The longest time by which re-sends are scattered.
const JITTER_MOST: Duration = Duration::from_secs(5);

/// How one push went that was sent to several devices.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The devices of its step, those that only poll among them.
    pub(crate) devices: usize,
    /// Those that did not take it, and why.
    pub(crate) failures: Vec<(DeviceId, FcmError)>,
}

impl Sent {
    /// The event of an attempt that no device took.
    ///
    /// Only where the app is gone from every device is nobody left who could answer. In all other cases the app's own
    /// list still shows the challenge.
    pub(crate) fn failed(&self, attempt: u8, random: [u8; 2]) -> Event {
        let all_gone = self.failures.len() == self.devices
            && self.failures.iter().all(|(_, error)| error.reason() == Reason::DeviceUnregistered);
        let reason = match self.devices {
            0 => Reason::NoDevice,
            _ if self.failures.is_empty() => return Event::OnlyListed { attempt },
            _ if all_gone => Reason::DeviceUnregistered,
            _ => Reason::PushUndeliverable,
        };
        let provider_code = self.telling().and_then(FcmError::provider_code);
        self.unreached(attempt, random).unwrap_or(Event::PushFailed { attempt, reason, provider_code })
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
        Sent { devices, failures: failures.collect() }
    }

    #[test]
    fn the_failures_of_all_devices_become_one_reason() {
        for (devices, errors, reason, provider_code) in [
            (0, &[][..], Reason::NoDevice, None),
            (1, &[Unregistered], Reason::DeviceUnregistered, Some(404)),
            (2, &[Unregistered, InvalidToken], Reason::DeviceUnregistered, Some(404)),
            (2, &[Unregistered, WrongProject], Reason::PushUndeliverable, Some(404)),
            (1, &[FcmError::TooLate], Reason::PushUndeliverable, None),
            // The other device only polls.
            (2, &[Unregistered], Reason::PushUndeliverable, Some(404)),
        ] {
            let expected = Event::PushFailed { attempt: 3, reason, provider_code };
            assert_eq!(sent(devices, errors).failed(3, [0; 2]), expected, "{devices} devices, {errors:?}");
        }
        assert_eq!(sent(2, &[]).failed(3, [0; 2]), Event::OnlyListed { attempt: 3 });
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
