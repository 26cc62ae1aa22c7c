//! The terminal as an authenticator, where no gateway is needed. Against a real one: `changing`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet_keys::{DeviceAlg, DeviceKeyPair};
use serde_json::json;

use crate::support::Program;

const ID: &str = "0193a4b2-7c1d-7e3f-8a9b-0c1d2e3f4a5b";

/// A folder of its own, as the home directory.
fn home(name: &str) -> PathBuf {
    let home = std::env::temp_dir().join(format!("fleetctl-app-{name}-{}", std::process::id()));
    fs::create_dir_all(home.join(".config/fleetctl")).unwrap();
    home
}

/// A device whose gateway is not there.
fn store(home: &std::path::Path, mode: u32) {
    let path = home.join(".config/fleetctl/app.json");
    let device = json!({
        "url": "http://127.0.0.1:1", "device_id": "5f0c2f6e-8a34-4c55-9b0a-0d9a7f3f2b11", "portal": "operations",
        "portal_title": "Operations Portal", "account": "avery.lee", "push_version": 0,
        "totp_secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        "key": STANDARD.encode(DeviceKeyPair::generate(DeviceAlg::Es256).pkcs8()),
    });
    fs::write(&path, device.to_string()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_code_that_is_wrong_goes_nowhere_and_each_error_says_what_to_do() {
    let home = home("wrong");
    let program = Program::with(&[("HOME", home.to_str().unwrap())]);
    let url = ["--url", "https://mfa.example.org"];
    for (arguments, code, says) in [
        (vec!["app", "activate", "7KQ2-9XWM-4RTA"], 14, "--url is required"),
        (vec!["app", "activate", "7KQ2-9XWM-4RTB", url[0], url[1]], 14, "mistyped"),
        (vec!["app", "activate", "otpauth://totp/x"], 14, "no activation code"),
        (vec!["app", "activate", "7KQ2-9XWM-4RTA", "--url", "http://mfa.example.org"], 14, "https://"),
        (vec!["app", "list"], 65, "cannot be read"),
        (vec!["app", "approve", ID], 65, "cannot be read"),
    ] {
        let ended = program.run(&arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(says) && ended.err.lines().count() == 1, "{arguments:?}: {}", ended.err);
    }
    fs::remove_dir_all(home).unwrap();
}

#[tokio::test]
async fn a_device_shows_its_codes_and_a_file_that_others_can_read_is_refused() {
    let home = home("stored");
    store(&home, 0o600);
    let program = Program::with(&[("HOME", home.to_str().unwrap())]);
    let shown = program.run(&["app", "code"]).await;
    let words: Vec<&str> = shown.out.split_whitespace().collect();
    assert_eq!((shown.code, words[0].len(), words[2]), (Some(0), 6, "s"), "{}", shown.err);
    assert!((1..=30).contains(&words[1].parse::<u8>().unwrap()));
    let again = program.run(&["app", "activate", "7KQ2-9XWM-4RTA", "--url", "https://mfa.example.org"]).await;
    assert!(again.code == Some(65) && again.err.contains("is a device already"), "{}", again.err);
    let away = program.run(&["app", "list"]).await;
    assert!(away.code == Some(69) && away.err.contains("can't be reached"), "{}", away.err);
    store(&home, 0o644);
    let refused = program.run(&["app", "code"]).await;
    assert!(refused.code == Some(65) && refused.err.contains("others can read"), "{}", refused.err);
    fs::remove_dir_all(home).unwrap();
}

#[tokio::test]
async fn a_qr_code_is_drawn_or_written_to_a_new_file() {
    let home = home("qr");
    let svg = home.join("code.svg");
    let program = Program::with(&[]);
    let drawn = program.run(&["app", "qr", "https://mfa.example.org"]).await;
    assert!(drawn.code == Some(0) && drawn.out.contains('█'), "{}", drawn.err);
    let arguments = ["app", "qr", "https://mfa.example.org", "--svg", svg.to_str().unwrap()];
    let written = program.run(&arguments).await;
    assert_eq!((written.code, written.out.as_str()), (Some(0), ""), "{}", written.err);
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    assert_eq!(program.run(&arguments).await.code, Some(65), "never over another file");
    fs::remove_dir_all(home).unwrap();
}
