//! The Call resource, with Twilio's strings where one expects numbers, and its nulls.

use axum::Json;
use serde_json::{Value, json};

use crate::call::{Call, State, Status};
use crate::dates;

const SUBRESOURCES: [&str; 9] = [
    "Events",
    "Notifications",
    "Payments",
    "Recordings",
    "Siprec",
    "Streams",
    "Transcriptions",
    "UserDefinedMessages",
    "UserDefinedMessageSubscriptions",
];

/// The answer to a create: queued, whatever has happened since, and without dates.
pub(super) fn created(account: &str, call: &Call) -> Json<Value> {
    let mut state = call.state().clone();
    state.status = Status::Queued;
    (state.started, state.ended, state.answered_by) = (None, None, None);
    let mut body = body(account, call, &state);
    body["date_created"] = Value::Null;
    body["date_updated"] = Value::Null;
    body["caller_name"] = Value::Null;
    Json(body)
}

/// The call as it is now.
pub(super) fn current(account: &str, call: &Call) -> Json<Value> {
    Json(item(account, call))
}

/// The call as it is now, for a list.
pub(super) fn item(account: &str, call: &Call) -> Value {
    let state = call.state().clone();
    body(account, call, &state)
}

fn body(account: &str, call: &Call, state: &State) -> Value {
    let path = format!("/2010-04-01/Accounts/{account}/Calls/{}", call.sid);
    let (to, from) = (&call.order.to, &call.order.from);
    let updated = state.ended.or(state.answered).or(state.started).unwrap_or(call.created);
    let subresources: serde_json::Map<_, _> =
        SUBRESOURCES.iter().map(|name| (snake_case(name), json!(format!("{path}/{name}.json")))).collect();
    json!({
        "sid": call.sid,
        "account_sid": account,
        "status": state.status,
        "to": to,
        "from": from,
        "to_formatted": formatted(to),
        "from_formatted": formatted(from),
        "direction": "outbound-api",
        "phone_number_sid": format!("PN{:0>32}", from.trim_start_matches('+')),
        "date_created": dates::rfc2822(call.created),
        "date_updated": dates::rfc2822(updated),
        "start_time": state.started.map(dates::rfc2822),
        "end_time": state.ended.map(dates::rfc2822),
        "duration": state.ended.map(|_| state.seconds.to_string()),
        "price": state.billed_minutes().map(price),
        "price_unit": "USD",
        "queue_time": call.queue_time.as_millis().to_string(),
        "answered_by": state.answered_by,
        "caller_name": "",
        "forwarded_from": null,
        "group_sid": null,
        "parent_call_sid": null,
        "trunk_sid": "",
        "annotation": null,
        "api_version": "2010-04-01",
        "uri": format!("{path}.json"),
        "subresource_uris": subresources,
    })
}

/// `-0.01400` for a minute.
fn price(minutes: u64) -> String {
    let hundred_thousandths = minutes * 1_400;
    format!("-{}.{:05}", hundred_thousandths / 100_000, hundred_thousandths % 100_000)
}

/// `(415) 555-0123` for numbers of the North American plan.
fn formatted(number: &str) -> String {
    match number.strip_prefix("+1").filter(|digits| digits.len() == 10 && digits.is_ascii()) {
        Some(digits) => format!("({}) {}-{}", &digits[..3], &digits[3..6], &digits[6..]),
        None => number.to_owned(),
    }
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_twilios_forms() {
        assert_eq!(formatted("+14155550123"), "(415) 555-0123");
        assert_eq!(formatted("+493055501234"), "+493055501234");
        assert_eq!(price(3), "-0.04200");
        assert_eq!(snake_case("UserDefinedMessageSubscriptions"), "user_defined_message_subscriptions");
    }
}
