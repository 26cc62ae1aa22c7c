//! What the failures of all devices come to. Pure.

use fleet_domain::{Event, Reason};

use crate::fcm::FcmError;

/// The event of an attempt that no device took. `devices` counts those that only poll as well.
///
/// Only where the app is gone from every device is nobody left who could answer. In all other cases the app's own
/// list still shows the challenge.
pub(crate) fn failed(attempt: u8, devices: usize, errors: &[FcmError]) -> Event {
    let all_gone =
        errors.len() == devices && errors.iter().all(|error| error.reason() == Reason::DeviceUnregistered);
    let reason = match devices {
        0 => Reason::NoDevice,
        _ if all_gone => Reason::DeviceUnregistered,
        _ => Reason::PushUndeliverable,
    };
    Event::PushFailed { attempt, reason, provider_code: telling(errors).and_then(FcmError::provider_code) }
}

/// The error that says most: the first that is not just an app that is gone.
pub(crate) fn telling(errors: &[FcmError]) -> Option<FcmError> {
    errors.iter().find(|error| !error.retires_token()).or_else(|| errors.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use FcmError::{InvalidToken, Unavailable, Unclear, Unregistered, WrongProject};

    #[test]
    fn the_failures_of_all_devices_become_one_reason() {
        let away = Unavailable { after: None };
        let lost = Unclear { http_status: None };
        for (devices, errors, reason, provider_code) in [
            (0, &[][..], Reason::NoDevice, None),
            (1, &[Unregistered], Reason::DeviceUnregistered, Some(404)),
            (2, &[Unregistered, InvalidToken], Reason::DeviceUnregistered, Some(404)),
            (2, &[Unregistered, away], Reason::PushUndeliverable, Some(503)),
            (1, &[WrongProject], Reason::PushUndeliverable, Some(404)),
            (1, &[lost], Reason::PushUndeliverable, None),
            (1, &[FcmError::TooLate], Reason::PushUndeliverable, None),
            // Devices that only poll.
            (1, &[], Reason::PushUndeliverable, None),
            (2, &[Unregistered], Reason::PushUndeliverable, Some(404)),
        ] {
            let expected = Event::PushFailed { attempt: 3, reason, provider_code };
            assert_eq!(failed(3, devices, errors), expected, "{devices} devices, {errors:?}");
        }
    }
}
