//! Google's bodies and what they mean.

use super::*;
use FcmError::{
    ApnsMismatch, BadPayload, Internal, InvalidToken, PermissionDenied, QuotaExceeded, SenderIdMismatch,
    ThirdPartyAuth, Unauthenticated, Unavailable, Unclear, Unregistered, WrongProject,
};

const AFTER: Option<Duration> = Some(Duration::from_secs(3));
const MOMENT: Option<Duration> = Some(Duration::from_secs(1));

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/", $name))
    };
}

fn unclear(http_status: u16) -> FcmError {
    Unclear { http_status: Some(http_status) }
}

#[test]
fn every_recorded_answer_has_its_meaning() {
    for (http_status, body, error) in [
        (404, fixture!("unregistered.json"), Unregistered),
        (404, fixture!("unregistered_iphone.json"), Unregistered),
        (400, fixture!("disabled_iphone.json"), Unregistered),
        (400, fixture!("iphone_of_another_app.json"), ApnsMismatch),
        (400, fixture!("iphone_of_another_environment.json"), ApnsMismatch),
        (400, fixture!("invalid_token.json"), InvalidToken),
        (400, fixture!("invalid_token_field.json"), InvalidToken),
        (400, fixture!("bad_payload.json"), BadPayload),
        (403, fixture!("sender_id_mismatch.json"), SenderIdMismatch),
        (429, fixture!("quota_exceeded.json"), QuotaExceeded { after: AFTER }),
        (503, fixture!("unavailable.json"), Unavailable { after: AFTER }),
        (500, fixture!("internal.json"), Internal),
        (401, fixture!("third_party_auth.json"), ThirdPartyAuth),
        (401, fixture!("third_party_auth_iphone.json"), ThirdPartyAuth),
        (401, fixture!("unauthenticated.json"), Unauthenticated),
        (403, fixture!("service_disabled.json"), PermissionDenied),
        (404, fixture!("not_found.json"), WrongProject),
        (502, fixture!("bad_gateway.html"), unclear(502)),
    ] {
        let found = FcmError::from_answer(http_status, AFTER, body.as_bytes());
        assert_eq!(found, error, "{http_status} {body}");
    }
}

#[test]
fn without_a_code_the_status_decides_and_no_token_is_retired() {
    for (http_status, body, error) in [
        (200, "<html>", unclear(200)),
        (302, "", WrongProject),
        (400, "{}", BadPayload),
        (400, "not JSON", BadPayload),
        (401, "", Unauthenticated),
        (403, "[]", PermissionDenied),
        (404, "", WrongProject),
        (404, r#"{"error":null}"#, WrongProject),
        (404, r#"{"error":{"details":"none"}}"#, WrongProject),
        (404, r#"{"error":{"details":[{"@type":"other","errorCode":"UNREGISTERED"}]}}"#, WrongProject),
        (408, "", unclear(408)),
        (413, "", BadPayload),
        (429, "", QuotaExceeded { after: AFTER }),
        (500, "", Internal),
        (503, "<html>", Unavailable { after: AFTER }),
        (504, "", unclear(504)),
        (599, "", unclear(599)),
    ] {
        let found = FcmError::from_answer(http_status, AFTER, body.as_bytes());
        assert_eq!(found, error, "{http_status} {body}");
        assert!(!found.retires_token(), "{http_status} {body}");
    }
}

#[test]
fn a_code_that_is_not_known_leaves_it_to_the_status() {
    let body = r#"{"error":{"details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNSPECIFIED_ERROR"}]}}"#;
    assert_eq!(FcmError::from_answer(503, None, body.as_bytes()), Unavailable { after: None });
    assert_eq!(FcmError::from_answer(404, None, body.as_bytes()), WrongProject);
}

#[test]
fn an_invalid_argument_that_is_not_the_token_retires_nothing() {
    for (message, violations, error) in [
        ("The registration token is not a valid FCM registration token", "[]", InvalidToken),
        ("Request contains an invalid argument.", "[]", BadPayload),
        ("The registration token is not a valid FCM registration token", r#"[{"field":"a"}]"#, BadPayload),
        ("Request contains an invalid argument.", r#"[{"field":"message.fid"}]"#, InvalidToken),
        ("Request contains an invalid argument.", r#"[{"field":"message.token"},{"field":"a"}]"#, BadPayload),
    ] {
        let body = format!(
            r#"{{"error":{{"message":"{message}","details":[
                {{"@type":"{FCM_ERROR}","errorCode":"INVALID_ARGUMENT"}},
                {{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":{violations}}}]}}}}"#
        );
        assert_eq!(FcmError::from_answer(400, None, body.as_bytes()), error, "{message} {violations}");
    }
}

#[test]
fn what_apple_refuses_for_another_reason_retires_nothing() {
    for (reason, error) in [
        ("Unregistered", Unregistered),
        ("ExpiredToken", Unregistered),
        ("BadDeviceToken", ApnsMismatch),
        ("DeviceTokenNotForTopic", ApnsMismatch),
        ("PayloadTooLarge", BadPayload),
        ("BadCollapseId", BadPayload),
    ] {
        let body = |kind: &str| {
            format!(
                r#"{{"error":{{"details":[{{"@type":"{FCM_ERROR}","errorCode":"INVALID_ARGUMENT"}},
                    {{"@type":"{kind}","reason":"{reason}"}}]}}}}"#
            )
        };
        assert_eq!(FcmError::from_answer(400, None, body(APNS_ERROR).as_bytes()), error, "{reason}");
        assert_eq!(FcmError::from_answer(400, None, body("other").as_bytes()), BadPayload, "{reason}");
    }
}

#[test]
fn p8_only_a_token_that_is_gone_is_retired_and_what_an_operator_must_mend_is_an_alarm() {
    let again = |after| Remedy::TryAgain { after };
    let (ten, minute) = (Some(Duration::from_secs(10)), Some(Duration::from_mins(1)));
    // The error, what is tried at once, after what pause the re-send may help, whether the token is retired, whether it
    // is an alarm.
    for (error, remedy, pause, retires, alarm) in [
        (Unregistered, Remedy::None, None, true, false),
        (InvalidToken, Remedy::None, None, true, false),
        (BadPayload, Remedy::None, None, false, true),
        (SenderIdMismatch, Remedy::None, None, false, true),
        (QuotaExceeded { after: AFTER }, Remedy::None, AFTER, false, false),
        (QuotaExceeded { after: MOMENT }, again(Duration::from_secs(1)), MOMENT, false, false),
        (QuotaExceeded { after: None }, Remedy::None, minute, false, false),
        (Unavailable { after: AFTER }, Remedy::None, AFTER, false, false),
        (Unavailable { after: None }, Remedy::None, ten, false, false),
        (Internal, Remedy::None, ten, false, false),
        (ThirdPartyAuth, Remedy::None, None, false, true),
        (ApnsMismatch, Remedy::None, None, false, true),
        (Unauthenticated, Remedy::RenewAccess, None, false, true),
        (PermissionDenied, Remedy::None, None, false, true),
        (WrongProject, Remedy::None, None, false, true),
        (FcmError::NotConnected, again(Duration::ZERO), ten, false, false),
        (FcmError::NoAccessToken, Remedy::None, ten, false, false),
        (
            FcmError::Away { after: Duration::from_secs(7) },
            Remedy::None,
            Some(Duration::from_secs(7)),
            false,
            false,
        ),
        (FcmError::TooLate, Remedy::None, None, false, false),
        (unclear(502), Remedy::None, ten, false, false),
    ] {
        assert_eq!((error.remedy(true), error.again_after()), (remedy, pause), "{error}");
        assert_eq!((error.retires_token(), error.is_configuration_alarm()), (retires, alarm), "{error}");
        let reason = if retires { Reason::DeviceUnregistered } else { Reason::PushUndeliverable };
        assert_eq!(error.reason(), reason, "{error}");
    }
}
