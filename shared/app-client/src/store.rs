//! A device in a file: who it is, and its key. Only its owner can read it.
//!
//! The key is there before the code is sent: should the answer be lost, or the program die, the same key gets in again.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fleet_keys::{DeviceAlg, DeviceKeyPair, Zeroizing};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::error::Error;

/// How far the device in a file has come.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    /// It is activated.
    Device(Stored),
    /// It has a key, and a code that may have been sent.
    Begun(Begun),
}

/// What is stored beside the key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored {
    /// The base URL, as it came with the code.
    pub(crate) url: String,
    pub(crate) device_id: String,
    pub(crate) portal: String,
    pub(crate) portal_title: String,
    pub(crate) account: String,
    /// Base32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) totp_secret: Option<String>,
    /// That of the last refresh of the push address.
    pub(crate) push_version: u64,
}

/// What an activation was begun with.
#[derive(Serialize, Deserialize)]
struct Begun {
    url: String,
    code: String,
}

#[derive(Serialize)]
struct FileToWrite<'a, T> {
    #[serde(flatten)]
    kept: T,
    /// PKCS#8, base64.
    key: &'a str,
}

#[derive(Deserialize)]
struct FileRead<'a> {
    #[serde(flatten)]
    kept: Kept,
    key: &'a str,
}

/// The key for this activation, which the file has from now on; that of an earlier try, where the file has one. And whether
/// the file is of this code alone, so that it is worth nothing once the code is.
pub(crate) fn begin(
    path: &Path,
    activation: &Activation,
    alg: DeviceAlg,
) -> Result<(DeviceKeyPair, bool), Error> {
    let Activation { url, code } = activation;
    if path.try_exists().map_err(|error| cannot(path, "be read", &error))? {
        return match read(path)? {
            (Kept::Begun(begun), key) => Ok((key, begun.url == *url && begun.code == *code)),
            (Kept::Device(_), _) => Err(problem(
                path,
                "is a device already: revoke it, remove the file if the fleet knows it no more, or name another file",
            )),
        };
    }
    let key = DeviceKeyPair::generate(alg);
    write_with(path, Begun { url: url.clone(), code: code.clone() }, &key)?;
    Ok((key, true))
}

pub(crate) fn load(path: &Path) -> Result<(Stored, DeviceKeyPair), Error> {
    match read(path)? {
        (Kept::Device(stored), key) => Ok((stored, key)),
        (Kept::Begun(_), _) => {
            Err(problem(path, "is not activated yet: activate again, which goes on with the key in it"))
        }
    }
}

pub(crate) fn save(path: &Path, stored: &Stored, key: &DeviceKeyPair) -> Result<(), Error> {
    write_with(path, stored, key)
}

pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).map_err(|error| cannot(path, "be removed", &error))
}

fn problem(path: &Path, problem: &str) -> Error {
    Error::Store { path: path.to_owned(), problem: problem.to_owned() }
}

fn cannot(path: &Path, what: &str, error: &io::Error) -> Error {
    problem(path, &format!("cannot {what}: {error}"))
}

fn read(path: &Path) -> Result<(Kept, DeviceKeyPair), Error> {
    let problem = |text: &str| problem(path, text);
    let cannot = |error: io::Error| cannot(path, "be read", &error);
    let mut file = fs::File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.permissions().mode() & 0o077 != 0 {
        return Err(problem(
            "others can read the device's key: revoke the device, or `chmod 600` if nobody has",
        ));
    }
    let mut text = Zeroizing::new(Vec::new());
    file.read_to_end(&mut text).map_err(cannot)?;
    let not_ours = || problem("is no device that this program stored: activate again with another file");
    let FileRead { kept, key } = serde_json::from_slice(&text).map_err(|_| not_ours())?;
    let pkcs8 = Zeroizing::new(STANDARD.decode(key).map_err(|_| not_ours())?);
    Ok((kept, DeviceKeyPair::from_pkcs8(&pkcs8).map_err(|_| not_ours())?))
}

fn write_with<T: Serialize>(path: &Path, kept: T, key: &DeviceKeyPair) -> Result<(), Error> {
    let key = Zeroizing::new(STANDARD.encode(key.pkcs8()));
    write(path, &FileToWrite { kept, key: &key }).map_err(|error| cannot(path, "be written", &error))
}

/// A new file takes the place of the old one: neither is ever half there, and the new one was never anybody else's to read.
fn write<T: Serialize>(path: &Path, file: &FileToWrite<'_, T>) -> io::Result<()> {
    let text = Zeroizing::new(serde_json::to_vec_pretty(file)?);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let beside = beside(path);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    new.write_all(&text)?;
    new.sync_all()?;
    fs::rename(&beside, path)
}

/// A name of this file's own: `device.json.new` is nobody else's, and differs from the file's whatever that ends with.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        Stored {
            url: "https://mfa.example.org".into(),
            device_id: "5f0c2f6e-8a34-4c55-9b0a-0d9a7f3f2b11".into(),
            portal: "operations".into(),
            portal_title: "Operations Portal".into(),
            account: "avery.lee".into(),
            totp_secret: Some("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".into()),
            push_version: 7,
        }
    }

    #[test]
    fn a_device_is_read_as_it_was_stored_by_its_owner_alone() {
        let folder = std::env::temp_dir().join(format!("app-client-{}", std::process::id()));
        let path = folder.join("deep/device.json");
        for alg in [DeviceAlg::Es256, DeviceAlg::EdDsa] {
            let key = DeviceKeyPair::generate(alg);
            save(&path, &stored(), &key).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let (read, read_key) = load(&path).unwrap();
            assert_eq!((read.device_id, read.push_version), (stored().device_id, 7));
            assert_eq!((read_key.alg(), read_key.public_key()), (alg, key.public_key()));
        }
        for (mode, text) in [(0o640, None), (0o604, None), (0o600, Some("{}")), (0o600, Some("no JSON"))] {
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = load(&path).err().unwrap().to_string();
            assert!(refused.contains("device.json: "), "{refused}");
        }
        assert!(load(&folder.join("none")).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
