//! Keys that ship with this crate: that of the Google service account, and that of the swarm. New ones of devices.
//!
//! Both are test keys: everybody has them.

use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rsa;
use serde_json::json;

use crate::device_key::{Alg, DeviceKey};

const SERVICE_ACCOUNT_PEM: &str = include_str!("../keys/service-account-test-key.pem");
const SWARM_KEY: &str = include_str!("../keys/swarm-device-test-key.b64");
const KEY_ID: &str = "5e1f0000000000000000000000000000000000a1";

/// Google's own token endpoint, which its libraries may name as audience whatever the credentials say.
pub(crate) const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The account in the credentials of a project.
pub(crate) fn client_email(project: &str) -> String {
    format!("fleet-push@{project}.iam.gserviceaccount.com")
}

/// The id of the service account's key.
pub(crate) fn key_id() -> &'static str {
    KEY_ID
}

/// The public half of the service account's key, as `RSAPublicKey` in DER.
pub(crate) fn service_account_public_key() -> Result<Vec<u8>, &'static str> {
    let base64: String = pem().lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).map_err(|_| "is not Base64")?;
    let pair = rsa::KeyPair::from_pkcs8(&der).map_err(|_| "is not an RSA key in PKCS#8")?;
    Ok(pair.public().as_ref().to_vec())
}

/// Writes the service account's credentials, readable by their owner only.
pub fn write_credentials(path: &Path, project: &str, base_url: &str) -> io::Result<()> {
    let client_email = client_email(project);
    let document = json!({
        "type": "service_account",
        "project_id": project,
        "private_key_id": KEY_ID,
        "private_key": format!("{}\n", pem().trim_end()),
        "client_email": client_email,
        "client_id": "100000000000000000001",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": format!("{base_url}/token"),
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": format!("https://www.googleapis.com/robot/v1/metadata/x509/{client_email}"),
        "universe_domain": "googleapis.com",
    });
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(path)?, "{document:#}")
}

/// A new device key for ES256: the private key as PKCS#8 in Base64, and the public key in base64url.
pub fn new_device_key() -> Result<(String, String), &'static str> {
    let (key, private) = DeviceKey::generate(Alg::Es256)?;
    Ok((private, key.public()))
}

/// The public key that all devices of the swarm share, in base64url.
pub fn swarm_public_key() -> Result<String, &'static str> {
    swarm_key().map(|key| key.public())
}

/// The key that all devices of the swarm share.
pub(crate) fn swarm_key() -> Result<DeviceKey, &'static str> {
    DeviceKey::parse(SWARM_KEY.trim())
}

/// The key file without the words above it.
fn pem() -> &'static str {
    SERVICE_ACCOUNT_PEM.find("-----BEGIN").map_or(SERVICE_ACCOUNT_PEM, |start| &SERVICE_ACCOUNT_PEM[start..])
}
