//! The activation of a device, as a portal shows it to its user: code, URL and QR code, then the device.

use std::collections::BTreeMap;

use fleet_domain::{ActivatedDevice, DeviceId, Enrollment, NextStep, Portal, Timestamp, TypedCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EnrollmentOutcome;
use crate::form::{Text, not_null};

/// The activation of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ActivationReport {
    /// The code to be typed into the app; absent when it can't be used any more. A secret: only its user may see it.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub code: Option<String>,
    /// The URL to be typed into the app with it.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub url: Option<String>,
    /// The text of the QR code that says the same; as secret.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub qr: Option<String>,
    /// Until when the code can be used.
    #[serde(with = "Text::<Timestamp>")]
    pub expires_at: Timestamp,
    /// Where the app is to be had, by platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub store_links: BTreeMap<String, String>,
    /// The device on which the app was activated.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeviceReport")]
    pub device: Option<DeviceReport>,
}

/// A device on which the app was activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct DeviceReport {
    /// Its id.
    #[serde(with = "Text::<DeviceId>")]
    pub device_id: DeviceId,
    /// What its user calls it.
    pub name: String,
    /// `android`, `ios` or `other`.
    pub platform: String,
}

impl ActivationReport {
    pub(super) fn of(enrollment: &Enrollment, portal: &Portal) -> Option<Self> {
        let activation = enrollment.live.activation.as_ref()?;
        let is_awaited = enrollment.live.next_step == Some(NextStep::ActivateDevice);
        let links = &portal.policy.enrollment.store_links;
        let device = |device: &ActivatedDevice| DeviceReport {
            device_id: device.id,
            name: device.name.clone(),
            platform: device.platform.clone(),
        };
        Some(Self {
            code: None,
            url: None,
            qr: None,
            expires_at: activation.expires_at,
            store_links: if is_awaited { links.clone() } else { BTreeMap::new() },
            device: activation.device.as_ref().map(device),
        })
    }
}

impl EnrollmentOutcome {
    /// With the code of its activation, in both forms, where it still can be used. `url` is where the app's routes are.
    #[must_use]
    pub fn with_activation_code(mut self, typed: &TypedCode, long: &str, url: &str) -> Self {
        if let Some(activation) =
            self.activation.as_mut().filter(|_| self.next_step == Some(NextStep::ActivateDevice))
        {
            activation.code = Some(typed.to_string());
            activation.url = Some(url.to_owned());
            activation.qr = Some(qr_text(url, long));
        }
        self
    }
}

/// What the QR code says.
fn qr_text(url: &str, long: &str) -> String {
    let encoded: String = url
        .bytes()
        .map(|byte| match byte {
            // RFC 3986, section 2.3.
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("mfa-fleet://activate?v=1&url={encoded}&code={long}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s20_the_qr_code_says_url_and_code() {
        assert_eq!(
            qr_text("https://mfa.example.org:8443/a b", "0f9ZvDk0TRiZ6YbRk1PTcg"),
            "mfa-fleet://activate?v=1&url=https%3A%2F%2Fmfa.example.org%3A8443%2Fa%20b&code=0f9ZvDk0TRiZ6YbRk1PTcg"
        );
    }
}
