//! The file of demo data: portals, and users with their phones and devices.
//!
//! The simulator reads its people and apps from the same file, so sections that are not named here are passed over.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleet_domain::{
    Channel, DeviceId, Extension, PhoneKind, PhoneNumber, PhoneRole, Policy, Portal, PortalName, PushToken,
    UserId,
};
use fleet_keys::{Pin, TotpSecret};
use fleet_records::{DeviceAlg, NewDevice, NewPhone, NewUser};
use serde::Deserialize;

use crate::error::Error;
use crate::file::{self, mistake};

/// What the fleet is to know.
#[derive(Debug)]
pub(crate) struct People {
    pub(crate) portals: Vec<Portal>,
    pub(crate) users: Vec<NewUser>,
    /// The PIN of each user, if they have one.
    pub(crate) pins: Vec<(UserId, Option<Pin>)>,
    /// Users that are blocked.
    pub(crate) blocked: Vec<UserId>,
}

#[derive(Deserialize)]
struct Sections {
    #[serde(default)]
    portal: Vec<PortalEntry>,
    #[serde(default)]
    user: Vec<UserEntry>,
    #[serde(default)]
    device: Vec<DeviceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortalEntry {
    name: String,
    title: String,
    audiences: Vec<String>,
    #[serde(default)]
    policy: Policy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    id: String,
    audience: String,
    method: Channel,
    #[serde(default)]
    phones: Vec<PhoneEntry>,
    pin: Option<String>,
    #[serde(default)]
    blocked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhoneEntry {
    role: PhoneRole,
    kind: PhoneKind,
    number: String,
    extension: Option<String>,
    #[serde(default = "verified")]
    verified: bool,
}

/// Fields that only the simulator needs, such as the private key, are passed over.
#[derive(Deserialize)]
struct DeviceEntry {
    user: Option<String>,
    device_id: String,
    fcm_token: Option<String>,
    #[serde(default = "es256")]
    alg: String,
    public_key: Option<String>,
    totp: Option<String>,
}

fn verified() -> bool {
    true
}

fn es256() -> String {
    DeviceAlg::Es256.as_str().to_owned()
}

impl People {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        Self::of(path, file::read(path)?)
    }

    fn of(path: &Path, sections: Sections) -> Result<Self, Error> {
        let wrong = |problem| mistake(path, problem);
        let portals = sections.portal.into_iter().map(portal).collect::<Result<_, _>>();
        let pins = sections.user.iter().map(pin).collect::<Result<Vec<_>, _>>();
        let blocked =
            sections.user.iter().filter(|user| user.blocked).filter_map(|user| UserId::parse(&user.id).ok());
        let blocked = blocked.collect();
        let mut users = sections.user.into_iter().map(user).collect::<Result<Vec<_>, _>>();
        if let Ok(users) = &mut users {
            for entry in sections.device {
                give_device(users, entry).map_err(|problem| mistake(path, problem))?;
            }
        }
        Ok(Self {
            portals: portals.map_err(wrong)?,
            users: users.map_err(wrong)?,
            pins: pins.map_err(wrong)?,
            blocked,
        })
    }
}

fn portal(entry: PortalEntry) -> Result<Portal, String> {
    let name =
        PortalName::parse(&entry.name).map_err(|rule| format!("portal {:?}: name {rule}", entry.name))?;
    entry.policy.check().map_err(|rule| format!("portal {name}: {rule}"))?;
    fleet_prompts::lint(&entry.policy.prompt_texts).map_err(|rule| format!("portal {name}: {rule}"))?;
    Ok(Portal { name, title: entry.title, audiences: entry.audiences, policy: entry.policy })
}

fn user(entry: UserEntry) -> Result<NewUser, String> {
    let id = UserId::parse(&entry.id).map_err(|rule| format!("user {:?}: id {rule}", entry.id))?;
    let mut phones: Vec<NewPhone> = Vec::with_capacity(entry.phones.len());
    for one in entry.phones {
        let who = format!("user {id}, {} phone", one.role);
        if phones.iter().any(|phone| phone.role == one.role) {
            return Err(format!("{who}: there can be only one"));
        }
        phones.push(phone(&one).map_err(|rule| format!("{who}: {rule}"))?);
    }
    Ok(NewUser { id, audience: entry.audience, method: entry.method, phones, devices: Vec::new() })
}

/// No error repeats the PIN.
fn pin(entry: &UserEntry) -> Result<(UserId, Option<Pin>), String> {
    let id = UserId::parse(&entry.id).map_err(|rule| format!("user {:?}: id {rule}", entry.id))?;
    let pin = entry.pin.as_deref().map(Pin::parse).transpose();
    let pin = pin.map_err(|rule| format!("user {id}: pin {rule}"))?;
    Ok((id, pin))
}

fn phone(entry: &PhoneEntry) -> Result<NewPhone, String> {
    let number = PhoneNumber::parse(&entry.number).map_err(|rule| format!("number {rule}"))?;
    let extension = entry.extension.as_deref().map(Extension::parse).transpose();
    let extension = extension.map_err(|rule| format!("extension {rule}"))?;
    Ok(NewPhone { role: entry.role, kind: entry.kind, number, extension, verified: entry.verified })
}

/// Gives the device to its user. One without a user belongs to the simulator alone.
fn give_device(users: &mut [NewUser], entry: DeviceEntry) -> Result<(), String> {
    let Some(owner) = &entry.user else { return Ok(()) };
    let who = format!("device {:?}", entry.device_id);
    let user = users.iter_mut().find(|user| user.id.as_str() == owner);
    let user = user.ok_or_else(|| format!("{who}: there is no [[user]] {owner:?}"))?;
    let id = DeviceId::parse(&entry.device_id).map_err(|rule| format!("{who}: device_id {rule}"))?;
    let alg = DeviceAlg::parse(&entry.alg).ok_or_else(|| format!("{who}: alg must be ES256 or EdDSA"))?;
    let public_key = entry.public_key.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let public_key = public_key.filter(|key| alg.is_key(key)).ok_or_else(|| {
        format!(
            "{who}: public_key must be base64url of {}",
            match alg {
                DeviceAlg::Es256 => "an uncompressed P-256 point, 65 bytes",
                DeviceAlg::EdDsa => "an Ed25519 key, 32 bytes",
            }
        )
    })?;
    let totp = entry.totp.as_deref().map(TotpSecret::from_base32).transpose();
    let totp = totp.map_err(|rule| format!("{who}: totp {rule}"))?;
    let push_token = entry.fcm_token.map(PushToken::new);
    user.devices.push(NewDevice { id, alg, public_key, push_token, totp });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: &str = include_str!("../../../ops/demo-data/people.toml");
    const DEVICE: &str = "user = \"ann\"\ndevice_id = \"5d0b8a52-6c1e-4f0a-9e00-000000000001\"\nalg = \"EdDSA\"\n\
        public_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"";

    fn people(text: &str) -> Result<People, Error> {
        let path = Path::new("people.toml");
        People::of(path, file::parse(path, text)?)
    }

    #[test]
    fn the_people_of_the_demo_are_read_whole() {
        let people = people(DEMO).unwrap();
        let names: Vec<&str> = people.portals.iter().map(|portal| portal.name.as_str()).collect();
        assert_eq!(names, ["operations", "provider", "recipients", "helpdesk"]);
        let user = |id: &str| people.users.iter().find(|user| user.id.as_str() == id).unwrap();
        assert_eq!(user("alice").phones.len(), 2);
        assert_eq!(user("judy").devices.len(), 2);
        // Every user can be reached by the method that they chose.
        for user in &people.users {
            let reached = match user.method {
                Channel::Voice => !user.phones.is_empty(),
                Channel::Push => !user.devices.is_empty(),
                Channel::Totp => user.devices.iter().any(|device| device.totp.is_some()),
            };
            assert!(reached, "{}", user.id);
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_without_the_number() {
        let user =
            |rest: &str| format!("[[user]]\nid = \"ann\"\naudience = \"staff\"\nmethod = \"voice\"\n{rest}");
        let phone = |phone: &str| user(&format!("phones = [{phone}]"));
        let device = |rest: &str| user(&format!("[[device]]\n{rest}"));
        for (text, line) in [
            (
                "[[portal]]\nname = \"A b\"\ntitle = \"\"\naudiences = []".to_owned(),
                "portal \"A b\": name must be 1 to 32",
            ),
            (
                "[[portal]]\nname = \"a\"\ntitle = \"\"\naudiences = []\npolicy = { ring_s = 90 }".to_owned(),
                "portal a: policy field `ring_s` must be 5 to 60 seconds",
            ),
            (
                "[[portal]]\nname = \"a\"\ntitle = \"\"\naudiences = []\n\
                 policy.prompt_texts.es-MX.greeting = \"Hola, {user}.\""
                    .to_owned(),
                "portal a: prompt_texts.es-MX.greeting may hold organisation and pound in braces and no other brace",
            ),
            ("[[user]]\n\nname = \"ann\"".to_owned(), "line 3: unknown field `name`"),
            (user("[[portal"), "line 5: "),
            (
                phone(r#"{ role = "primary", kind = "mobile", number = "0919-5550101" }"#),
                "user ann, primary phone: number must be a phone number in E.164 form",
            ),
            (
                phone(r#"{ role = "backup", kind = "office", number = "+19195550101", extension = "4x" }"#),
                "user ann, backup phone: extension character 2",
            ),
            (user("pin = \"82a0\""), "user ann: pin must be 4 to 16 digits"),
            (device("user = \"bob\"\ndevice_id = \"1\""), "device \"1\": there is no [[user]] \"bob\""),
            (device("user = \"ann\"\ndevice_id = \"1\""), "device \"1\": device_id must be a UUID"),
            (
                device(
                    "user = \"ann\"\ndevice_id = \"5d0b8a52-6c1e-4f0a-9e00-000000000001\"\npublic_key = \"AAAA\"",
                ),
                "device \"5d0b8a52-6c1e-4f0a-9e00-000000000001\": public_key must be base64url of an uncompressed P-256",
            ),
            (
                device(&format!("{DEVICE}\ntotp = \"GEZDGNBV\"")),
                "device \"5d0b8a52-6c1e-4f0a-9e00-000000000001\": totp must be Base32",
            ),
        ] {
            let error = people(&text).unwrap_err().line().unwrap();
            let start = format!("fleetctl: people.toml: {line}");
            assert!(error.starts_with(&start), "{error}\n{start}");
            assert!(!error.contains("919-5550") && !error.contains("82a0"), "{error}");
        }
    }
}
