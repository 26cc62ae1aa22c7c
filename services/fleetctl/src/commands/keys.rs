//! `fleetctl keys`.

use std::fmt::Write;

use crate::error::Error;
use crate::exit::Exit;
use crate::print::Screen;

pub(super) fn run(screen: &mut Screen) -> Result<Exit, Error> {
    screen.line(&format!("FLEET_KEYS__MASTER={}", hex(&fleet_keys::random_bytes::<32>())))?;
    screen.line(&format!("FLEET_KEYS__OUTCOME_SIGNING_KEY={}", fleet_keys::new_signing_key()))?;
    screen.line(&format!("FLEET_ENROLLMENT_KEYS__CURRENT={}", fleet_keys::new_enrollment_key()))?;
    Ok(Exit::Done)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
