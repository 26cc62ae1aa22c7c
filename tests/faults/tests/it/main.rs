//! The program as it is called.

use std::process::Command;

#[test]
fn a_crash_point_that_does_not_exist_is_named_with_those_that_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_fleet-faults"))
        .args(["process", "voice", "--crash", "c13-nowhere"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("c4-posting"), "{said}");
}
