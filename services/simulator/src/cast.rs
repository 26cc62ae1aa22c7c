//! The cast: people by phone number, apps by push token, each with a script.
//!
//! The scripts come from a TOML file and can be replaced while the simulator runs. How they are written
//! is in `cast/script.rs`; what a phone does with its script is in `call/life.rs`, what an app does in `app.rs`.

mod script;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ring::signature::EcdsaKeyPair;
use uuid::Uuid;

pub(crate) use script::{BlockedBy, CastFile, Press, Reach, Script};

use crate::credentials;
use crate::fcm::SendFault;
use crate::settings::{Settings, SwarmConduct};

/// Why a script can't be played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadCast {
    #[error("cannot read {0}: {1}")]
    Unreadable(String, #[source] std::io::Error),
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    #[error("{who}: {fault}")]
    Entry { who: String, fault: &'static str },
}

/// An app on a device.
pub(crate) struct Device {
    pub(crate) id: Uuid,
    pub(crate) key: Arc<EcdsaKeyPair>,
    pub(crate) conduct: Conduct,
    /// Carrier time from the push to the answer.
    pub(crate) after: Duration,
    /// How FCM refuses this device's token.
    pub(crate) fault: Option<SendFault>,
}

/// What an app does with a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    Approves,
    Denies(Denial),
    Ignores,
}

/// Why the person denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Denial {
    NotMe,
    Mistake,
    Canceled,
}

/// Everybody who can be called or pushed.
pub(crate) struct Cast {
    people: RwLock<HashMap<String, Arc<Script>>>,
    devices: RwLock<HashMap<String, Arc<Device>>>,
    default_person: Arc<Script>,
    swarm: Swarm,
}

struct Swarm {
    size: u64,
    key: Arc<EcdsaKeyPair>,
    conduct: Conduct,
    after: Duration,
}

impl Cast {
    /// Reads the file that the settings name.
    pub(crate) fn load(settings: &Settings) -> Result<Self, BadCast> {
        let conduct = match settings.swarm {
            SwarmConduct::Approves => Conduct::Approves,
            SwarmConduct::Ignores => Conduct::Ignores,
        };
        let cast = Self {
            people: RwLock::default(),
            devices: RwLock::default(),
            default_person: Arc::new(Script::parse("simulator.default_person", &settings.default_person)?),
            swarm: Swarm {
                size: settings.device_swarm,
                key: Arc::new(credentials::swarm_key().map_err(|fault| entry_fault("the swarm", fault))?),
                conduct,
                after: settings.swarm_after,
            },
        };
        if !settings.people.as_os_str().is_empty() {
            cast.replace(read(&settings.people)?)?;
        }
        Ok(cast)
    }

    /// Takes these scripts in place of those with the same number or push token; all of them or none.
    pub(crate) fn replace(&self, file: CastFile) -> Result<(), BadCast> {
        let people = file.person.into_iter().map(script::person).collect::<Result<Vec<_>, _>>()?;
        let devices = file.device.into_iter().map(script::device).collect::<Result<Vec<_>, _>>()?;
        self.people.write().unwrap_or_else(PoisonError::into_inner).extend(people);
        self.devices.write().unwrap_or_else(PoisonError::into_inner).extend(devices);
        Ok(())
    }

    /// The script of whoever answers this number.
    pub(crate) fn person(&self, number: &str) -> Arc<Script> {
        let people = self.people.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(people.get(number).unwrap_or(&self.default_person))
    }

    /// The device that a push token leads to.
    pub(crate) fn device(&self, token: &str) -> Option<Arc<Device>> {
        if let Some(device) = self.swarm_device(token) {
            return Some(Arc::new(device));
        }
        self.devices.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn swarm_device(&self, token: &str) -> Option<Device> {
        let index = token.strip_prefix("swarm-")?.parse().ok()?;
        (index < self.swarm.size).then(|| Device {
            id: swarm_device_id(index),
            key: Arc::clone(&self.swarm.key),
            conduct: self.swarm.conduct.clone(),
            after: self.swarm.after,
            fault: None,
        })
    }
}

/// The id of swarm device `index`: a UUIDv8 with the index in its low 48 bits.
pub(crate) fn swarm_device_id(index: u64) -> Uuid {
    Uuid::from_u64_pair(0x8000, (1 << 63) | (index & 0xffff_ffff_ffff))
}

fn read(path: &Path) -> Result<CastFile, BadCast> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| BadCast::Unreadable(path.display().to_string(), error))?;
    Ok(toml::from_str(&text)?)
}

fn entry_fault(who: &str, fault: &'static str) -> BadCast {
    BadCast::Entry { who: who.to_owned(), fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarm_device_has_its_index_in_the_last_twelve_digits() {
        assert_eq!(swarm_device_id(0x2a).to_string(), "00000000-0000-8000-8000-00000000002a");
        assert_eq!(swarm_device_id(0x2a).get_version_num(), 8);
    }
}
