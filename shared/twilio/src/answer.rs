//! A carrier's HTTP answer, read with tolerance: any field may be missing, null, a string or a number.

use std::time::Duration;

use fleet_domain::Timestamp;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::settings::is_sid;

/// Status, the headers that matter, and the body.
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    /// `Twilio-Request-Id`, for the carrier's support.
    pub(crate) request_id: Option<String>,
    /// `Retry-After` in seconds. The form with a date is not used by carriers, and would need a clock.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) const fn is_success(&self) -> bool {
        matches!(self.http_status, 200..=299)
    }

    /// The body's fields; empty when it is not a JSON object.
    pub(crate) fn fields(&self) -> Fields {
        Fields(serde_json::from_slice(&self.body).unwrap_or_default())
    }
}

/// The fields of a JSON object.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// A text or a number as text; `None` when it is empty or anything else.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A whole number, written as such or as text.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.parse().ok()
    }

    /// A date in the form of RFC 2822.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        rfc2822(&self.text(name)?)
    }

    /// The resource's id; `None` when it could not be used in a path again.
    pub(crate) fn sid(&self) -> Option<String> {
        self.text("sid").filter(|sid| is_sid(sid))
    }

    /// The objects of a list, or `None` when there is no such list.
    pub(crate) fn list(mut self, name: &str) -> Option<Vec<Self>> {
        let Some(Value::Array(items)) = self.0.remove(name) else { return None };
        let objects = items.into_iter().filter_map(|item| match item {
            Value::Object(fields) => Some(Self(fields)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        });
        Some(objects.collect())
    }
}

/// Reads dates such as `Thu, 18 Jun 2026 09:00:01 +0000`.
pub(crate) fn rfc2822(text: &str) -> Option<Timestamp> {
    let seconds = OffsetDateTime::parse(text, &Rfc2822).ok()?.unix_timestamp();
    Some(Timestamp::from_micros(seconds.checked_mul(1_000_000)?))
}
