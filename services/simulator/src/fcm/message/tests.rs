//! Messages that FCM takes, and those that it refuses.

use serde_json::json;

use super::*;

/// The field that is refused and what is said of it; no field where it is the message as a whole, or Apple who says so.
fn refusal(message: &Value) -> Option<(String, String)> {
    match read(&json!({ "message": message })).err()? {
        FcmError::Malformed(Violation { field, description })
        | FcmError::Unfit(Violation { field, description }) => Some((field, description)),
        FcmError::Apple { reason, .. } => Some((String::new(), reason.to_owned())),
        FcmError::TooBig => Some((String::new(), "too big".to_owned())),
        error @ (FcmError::Unauthenticated
        | FcmError::NotFound
        | FcmError::Unreadable(_)
        | FcmError::Refused(_)) => panic!("{error:?} is not about the message"),
    }
}

#[test]
fn a_message_of_the_fleet_is_accepted() {
    let body = json!({ "message": {
        "token": "t",
        "data": { "event": "challenge", "portal": "operations", "challenge_id": "c" },
        "android": { "priority": "HIGH", "ttl": "60s", "collapse_key": "c" },
        "apns": { "headers": { "apns-priority": "10", "apns-push-type": "alert" }, "payload": { "aps": {} } },
    }, "validateOnly": false });
    let message = read(&body).unwrap();
    assert_eq!(message.target, Target::App(Address::Token("t".to_owned())));
    let notice = message.notice();
    assert_eq!(
        (notice.event, notice.portal, notice.challenge),
        (Some("challenge"), Some("operations"), Some("c"))
    );
    let body = json!({ "message": { "fid": "f" } });
    assert_eq!(read(&body).unwrap().target, Target::App(Address::Fid("f".to_owned())));
}

#[test]
fn names_may_be_in_either_case_and_null_is_nothing() {
    for message in [
        json!({ "token": "t", "fcmOptions": { "analyticsLabel": "l" }, "notification": null, "topic": null }),
        json!({ "token": "t", "android": { "collapseKey": "c", "directBootOk": true, "restricted_satellite_ok": false } }),
        json!({ "token": "t", "android": { "notification": {
            "vibrate_timings": ["0.5s"], "visibility": "SECRET", "notification_count": 3,
            "light_settings": { "color": { "red": 1, "alpha": 0.5 }, "light_on_duration": "1s" },
        } } }),
    ] {
        assert_eq!(refusal(&message), None, "{message}");
    }
}

#[test]
fn each_wrong_field_is_named() {
    let number = "Invalid value at 'message.data[0].value' (TYPE_STRING), 42".to_owned();
    let found = refusal(&json!({ "token": "t", "data": { "a": 42 } }));
    assert_eq!(found, Some(("message.data[0].value".to_owned(), number)));
    let table = [
        (json!({ "data": {} }), "message"),
        (json!({ "token": "t", "topic": "n" }), "message"),
        (json!({ "token": "t", "fid": "f" }), "message"),
        (json!({ "token": 7 }), "message.token"),
        (json!({ "token": "t", "to": "x" }), "message"),
        (json!({ "token": "t", "data": ["x"] }), "message.data"),
        (json!({ "token": "t", "data": { "from": "x" } }), "message.data"),
        (json!({ "token": "t", "data": { "google.c": "x" } }), "message.data"),
        (
            json!({ "token": "t", "android": { "data": { "gcm.notification.x": "x" } } }),
            "message.android.data",
        ),
        (json!({ "token": "t", "android": { "ttl": "60" } }), "message.android.ttl"),
        (json!({ "token": "t", "android": { "ttl": "-1s" } }), "message.android.ttl"),
        (json!({ "token": "t", "android": { "ttl": "2419201s" } }), "message.android.ttl"),
        (json!({ "token": "t", "android": { "priority": "urgent" } }), "message.android.priority"),
        (
            json!({ "token": "t", "android": { "notification": { "taag": "x" } } }),
            "message.android.notification",
        ),
        (json!({ "token": "t", "android": {}, "androidV2": {} }), "message"),
        (
            json!({ "token": "t", "apns": { "headers": { "apns-priority": 10 } } }),
            "message.apns.headers[0].value",
        ),
    ];
    for (message, field) in table {
        assert_eq!(refusal(&message).expect("refused").0, field, "{message}");
    }
    for ttl in ["0s", "3.5s", "2419200s"] {
        assert_eq!(refusal(&json!({ "token": "t", "android": { "ttl": ttl } })), None, "{ttl}");
    }
}

#[test]
fn a_message_that_can_be_read_and_not_be_sent_is_fcms_own_to_refuse() {
    for (message, is_fcms) in [
        (json!({ "data": {} }), true),
        (json!({ "token": "t", "data": { "from": "x" } }), true),
        (json!({ "token": "t", "android": { "ttl": "2419201s" } }), true),
        (json!({ "token": "t", "android": {}, "androidV2": {} }), true),
        (json!({ "token": "t", "fid": "f" }), false),
        (json!({ "token": "t", "android": { "ttl": "60" } }), false),
        (json!({ "token": "t", "to": "x" }), false),
    ] {
        let body = json!({ "message": message });
        let refused = read(&body).unwrap_err();
        assert_eq!(matches!(refused, FcmError::Unfit(_)), is_fcms, "{message}");
        assert_eq!(matches!(refused, FcmError::Malformed(_)), !is_fcms, "{message}");
    }
}

#[test]
fn a_message_is_as_big_as_its_keys_and_values_and_a_topic_takes_half() {
    // Beside the key's one byte.
    let data = |bytes: usize| json!({ "a": "x".repeat(bytes - 1) });
    let too_big = Some((String::new(), "too big".to_owned()));
    for (message, expected) in [
        (json!({ "token": "t", "data": data(4_096) }), None),
        (json!({ "token": "t", "data": data(4_097) }), too_big.clone()),
        (json!({ "topic": "n", "data": data(2_048) }), None),
        (json!({ "topic": "n", "data": data(2_049) }), too_big.clone()),
        (json!({ "token": "t", "data": data(4_097), "android": { "data": data(9) } }), None),
        (json!({ "token": "t", "data": data(4_000), "notification": { "body": "x".repeat(100) } }), too_big),
    ] {
        assert_eq!(refusal(&message), expected, "{message:.60}");
    }
}

#[test]
fn apple_refuses_headers_that_break_its_rules() {
    let apns = |headers: Value, aps: Value| json!({ "token": "t", "apns": { "headers": headers, "payload": { "aps": aps } } });
    let silent = || json!({ "content-available": 1 });
    let background = |priority: &str| json!({ "apns-push-type": "background", "apns-priority": priority });
    let alert = || json!({ "alert": "Sign in?" });
    let collapse = |bytes: usize| json!({ "apns-collapse-id": "x".repeat(bytes) });
    for (message, reason) in [
        (apns(json!({ "apns-priority": "10", "apns-push-type": "alert" }), alert()), None),
        (apns(json!({ "apns-priority": "7" }), alert()), Some("BadPriority")),
        (apns(json!({ "apns-push-type": "loud" }), alert()), Some("InvalidPushType")),
        (apns(json!({ "apns-expiration": "soon" }), alert()), Some("BadExpirationDate")),
        (apns(collapse(64), alert()), None),
        (apns(collapse(65), alert()), Some("BadCollapseId")),
        (apns(collapse(0), alert()), Some("BadCollapseId")),
        (apns(background("5"), silent()), None),
        (apns(background("10"), silent()), Some("BadPriority")),
        (apns(json!({ "apns-push-type": "background" }), silent()), Some("BadPriority")),
        (apns(background("5"), json!({})), Some("InvalidPushType")),
        (
            apns(background("5"), json!({ "content-available": 1, "sound": "default" })),
            Some("InvalidPushType"),
        ),
        (apns(json!({}), json!({ "alert": "x".repeat(4_100) })), Some("PayloadTooLarge")),
    ] {
        let found = refusal(&message).map(|(_, reason)| reason);
        assert_eq!(found.as_deref(), reason, "{message:.90}");
    }
    let shown = json!({ "token": "t", "notification": { "title": "Sign in?" }, "apns": {
        "headers": background("5"), "payload": { "aps": silent() },
    } });
    assert!(refusal(&shown).is_some(), "a notification is something to show");
    let data = json!({ "token": "t", "data": { "a": "x".repeat(4_090) }, "apns": {} });
    assert_eq!(refusal(&data).unwrap().1, "PayloadTooLarge", "data is a part of Apple's payload");
}
