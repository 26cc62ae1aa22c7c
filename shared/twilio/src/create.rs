//! The request for a call, and how it is written as a form.

use std::fmt;
use std::time::Duration;

use fleet_domain::{Extension, PhoneNumber};

/// After how many seconds of detection the call goes on with `unknown`: the callee hears nothing until then.
const DETECTION_TIMEOUT_S: u8 = 8;

/// A call to be placed.
#[derive(Clone)]
pub struct CreateCall {
    to: PhoneNumber,
    from: PhoneNumber,
    url: String,
    status_callback: String,
    ring_timeout: Duration,
    fallback_url: Option<String>,
    send_digits: Option<String>,
    detect_machine: bool,
}

impl CreateCall {
    /// A call to `to` that shows `from`, rings for `ring_timeout` (whole seconds, rounded up; 1 to 600), and fetches its TwiML from
    /// `url` when answered. Its progress is reported to `status_callback`.
    pub fn new(
        to: PhoneNumber,
        from: PhoneNumber,
        url: impl Into<String>,
        status_callback: impl Into<String>,
        ring_timeout: Duration,
    ) -> Self {
        Self {
            to,
            from,
            url: url.into(),
            status_callback: status_callback.into(),
            ring_timeout,
            fallback_url: None,
            send_digits: None,
            detect_machine: false,
        }
    }

    /// Where TwiML is fetched from when the URL fails.
    #[must_use]
    pub fn fallback_url(mut self, url: impl Into<String>) -> Self {
        self.fallback_url = Some(url.into());
        self
    }

    /// What is keyed once the call is answered: `,` waits half a second and `;` a second. The carrier then detects no machine.
    #[must_use]
    pub fn extension(mut self, extension: &Extension) -> Self {
        self.send_digits = Some(extension.as_str().replace(',', "w").replace(';', "W"));
        self
    }

    /// Lets the carrier find out who answers before it fetches the TwiML, during which the callee hears nothing.
    #[must_use]
    pub const fn detecting_machines(mut self) -> Self {
        self.detect_machine = true;
        self
    }

    /// The form fields, in order.
    pub(crate) fn fields(&self, time_limit: Duration) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("To", self.to.e164().to_owned()),
            ("From", self.from.e164().to_owned()),
            ("Url", self.url.clone()),
            ("Method", "POST".to_owned()),
            ("StatusCallback", self.status_callback.clone()),
            ("StatusCallbackMethod", "POST".to_owned()),
        ];
        // One field for each: a joined value is not the documented form.
        for event in ["initiated", "ringing", "answered", "completed"] {
            fields.push(("StatusCallbackEvent", event.to_owned()));
        }
        fields.push(("Timeout", whole_seconds(self.ring_timeout).clamp(1, 600).to_string()));
        fields.push(("TimeLimit", whole_seconds(time_limit).to_string()));
        if let Some(url) = &self.fallback_url {
            fields.extend([("FallbackUrl", url.clone()), ("FallbackMethod", "POST".to_owned())]);
        }
        if let Some(digits) = &self.send_digits {
            fields.push(("SendDigits", digits.clone()));
        } else if self.detect_machine {
            fields.push(("MachineDetection", "Enable".to_owned()));
            fields.push(("MachineDetectionTimeout", DETECTION_TIMEOUT_S.to_string()));
        }
        fields
    }
}

impl fmt::Debug for CreateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateCall").field("to", &self.to).field("from", &self.from).finish_non_exhaustive()
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> CreateCall {
        let number = |text| PhoneNumber::parse(text).unwrap();
        CreateCall::new(
            number("+14155550123"),
            number("+15005550006"),
            "https://mfa.example.org/twilio/t0ken/voice",
            "https://mfa.example.org/twilio/t0ken/status#rc=3&rp=all",
            Duration::from_millis(24_500),
        )
    }

    const LIMIT: Duration = Duration::from_mins(2);

    fn written(call: &CreateCall) -> Vec<String> {
        call.fields(LIMIT).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn a_plain_call_is_written_field_by_field() {
        assert_eq!(
            written(&call()),
            [
                "To=+14155550123",
                "From=+15005550006",
                "Url=https://mfa.example.org/twilio/t0ken/voice",
                "Method=POST",
                "StatusCallback=https://mfa.example.org/twilio/t0ken/status#rc=3&rp=all",
                "StatusCallbackMethod=POST",
                "StatusCallbackEvent=initiated",
                "StatusCallbackEvent=ringing",
                "StatusCallbackEvent=answered",
                "StatusCallbackEvent=completed",
                "Timeout=25",
                "TimeLimit=120",
            ]
        );
    }

    #[test]
    fn options_add_their_fields() {
        let plain = written(&call()).len();
        let fallback = written(&call().fallback_url("https://x/f").detecting_machines());
        assert_eq!(
            fallback[plain..],
            [
                "FallbackUrl=https://x/f",
                "FallbackMethod=POST",
                "MachineDetection=Enable",
                "MachineDetectionTimeout=8"
            ]
        );
    }

    #[test]
    fn an_extension_becomes_digits_with_pauses_and_no_machine_is_detected() {
        let extension = Extension::parse(",,41;23#").unwrap();
        let plain = written(&call()).len();
        assert_eq!(
            written(&call().extension(&extension).detecting_machines())[plain..],
            ["SendDigits=ww41W23#"]
        );
    }

    #[test]
    fn debug_output_shows_no_number_and_no_url() {
        let shown = format!("{:?}", call());
        assert!(!shown.contains("4155550123") && !shown.contains("t0ken"), "{shown}");
    }
}
