//! The cast: people by phone number, apps by push address and by device id, each with a script.
//!
//! The scripts come from a TOML file and can be replaced while the simulator runs. How they are written is in
//! `cast/script.rs` and `cast/app_script.rs`; what a phone does with its script is in `call/life.rs`, what an app does
//! in `app.rs`.

mod app_script;
mod device;
mod script;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use uuid::Uuid;

pub(crate) use app_script::{AppEntry, AppScript, Decision, Denial, Typing, Verification, nothing_else};
pub(crate) use device::{Address, Device};
pub(crate) use script::{BlockedBy, CastFile, Press, Reach, Script};

use crate::credentials;
use crate::device_key::DeviceKey;
use crate::settings::Settings;

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

/// Whom a push address leads to.
pub(crate) enum Addressee {
    App(Arc<Device>),
    /// An app had this address, and has another one now, or none.
    Gone,
    Nobody,
}

/// Everybody who can be called or pushed.
pub(crate) struct Cast {
    people: RwLock<HashMap<String, Arc<Script>>>,
    roster: RwLock<Roster>,
    default_person: Arc<Script>,
    swarm: Swarm,
    /// Base URL of the gateway of all apps that did not bring their own.
    app_url: Arc<str>,
}

#[derive(Default)]
struct Roster {
    by_id: HashMap<Uuid, Arc<Device>>,
    /// The apps that pushes find; `None` for an address that was given up.
    by_address: HashMap<Address, Option<Arc<Device>>>,
}

struct Swarm {
    size: u64,
    key: Arc<DeviceKey>,
    script: Arc<AppScript>,
}

impl Cast {
    /// Reads the file that the settings name.
    pub(crate) fn load(settings: &Settings) -> Result<Self, BadCast> {
        let cast = Self {
            people: RwLock::default(),
            roster: RwLock::default(),
            default_person: Arc::new(Script::parse("simulator.default_person", &settings.default_person)?),
            swarm: Swarm {
                size: settings.device_swarm,
                key: Arc::new(credentials::swarm_key().map_err(|fault| entry_fault("the swarm", fault))?),
                script: Arc::new(AppScript::of_swarm(settings.swarm, settings.swarm_after)),
            },
            app_url: settings.app_url.trim_end_matches('/').into(),
        };
        if !settings.people.as_os_str().is_empty() {
            cast.replace(read(&settings.people)?)?;
        }
        Ok(cast)
    }

    /// Takes these scripts in place of those with the same number, device id or push address; all of them or none.
    /// Returns the devices among them.
    pub(crate) fn replace(&self, file: CastFile) -> Result<Vec<Arc<Device>>, BadCast> {
        let people = file.person.into_iter().map(script::person).collect::<Result<Vec<_>, _>>()?;
        let devices = file.device.into_iter().map(|entry| app_script::device(entry, &self.app_url));
        let devices = devices.collect::<Result<Vec<_>, _>>()?;
        self.people.write().unwrap_or_else(PoisonError::into_inner).extend(people);
        let admit = |(device, addresses)| {
            self.admit(&device, addresses);
            device
        };
        Ok(devices.into_iter().map(admit).collect())
    }

    /// Takes an app, in place of one with the same device id, whose addresses it keeps, and of those at these addresses.
    pub(crate) fn admit(&self, device: &Arc<Device>, addresses: Vec<Address>) {
        let mut roster = self.roster_mut();
        if let Some(earlier) = roster.by_id.insert(device.id, Arc::clone(device)) {
            earlier.remove();
            for holder in roster.by_address.values_mut().flatten() {
                if holder.id == device.id {
                    *holder = Arc::clone(device);
                }
            }
        }
        roster.by_address.extend(addresses.into_iter().map(|address| (address, Some(Arc::clone(device)))));
    }

    /// Gives up all addresses of an app, and takes this one for it.
    pub(crate) fn move_to(&self, device: &Arc<Device>, address: Option<Address>) {
        let mut roster = self.roster_mut();
        for holder in roster.by_address.values_mut() {
            if holder.as_ref().is_some_and(|holder| holder.id == device.id) {
                *holder = None;
            }
        }
        roster.by_address.extend(address.map(|address| (address, Some(Arc::clone(device)))));
    }

    /// Whether FCM finds this app by an installation id.
    pub(crate) fn has_fid(&self, id: Uuid) -> bool {
        self.roster().by_address.iter().any(|(address, holder)| {
            matches!(address, Address::Fid(_)) && holder.as_ref().is_some_and(|holder| holder.id == id)
        })
    }

    /// The script of whoever answers this number.
    pub(crate) fn person(&self, number: &str) -> Arc<Script> {
        let people = self.people.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(people.get(number).unwrap_or(&self.default_person))
    }

    /// The app with this device id.
    pub(crate) fn device(&self, id: Uuid) -> Option<Arc<Device>> {
        self.roster().by_id.get(&id).cloned()
    }

    /// Every app but those of the swarm.
    pub(crate) fn devices(&self) -> Vec<Arc<Device>> {
        self.roster().by_id.values().cloned().collect()
    }

    /// Whom FCM finds at an address.
    pub(crate) fn addressee(&self, address: &Address) -> Addressee {
        if let Address::Token(token) = address
            && let Some(device) = self.swarm_device(token)
        {
            return Addressee::App(Arc::new(device));
        }
        let roster = self.roster();
        let found = roster.by_address.get(address).or_else(|| match address {
            // FCM takes installation ids for tokens, too, while its clients move from one to the other.
            Address::Token(text) => roster.by_address.get(&Address::Fid(text.clone())),
            Address::Fid(_) => None,
        });
        match found {
            Some(Some(device)) => Addressee::App(Arc::clone(device)),
            Some(None) => Addressee::Gone,
            None => Addressee::Nobody,
        }
    }

    fn swarm_device(&self, token: &str) -> Option<Device> {
        let index = token.strip_prefix("swarm-")?.parse().ok()?;
        let Swarm { size, key, script } = &self.swarm;
        (index < *size).then(|| {
            let (key, script) = (Arc::clone(key), Arc::clone(script));
            Device::new(swarm_device_id(index), key, script, Arc::clone(&self.app_url))
        })
    }

    fn roster(&self) -> RwLockReadGuard<'_, Roster> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn roster_mut(&self) -> RwLockWriteGuard<'_, Roster> {
        self.roster.write().unwrap_or_else(PoisonError::into_inner)
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
