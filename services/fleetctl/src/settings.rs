//! The sections of the settings, each read only by the commands that need it, and the portals' own addresses.

use std::time::Duration;

use fleet_domain::PortalName;
use fleet_keys::{EnrollmentKeys, EnrollmentPublicKey, Keys};
use fleet_settings::{ExposeSecret, NotAllowed, SecretString, Settings};
use serde::de::DeserializeOwned;

use crate::cli::PortalAccess;
use crate::error::Error;

/// The sections that the program knows.
const DEFAULTS: [&str; 7] = [
    fleet_engine::DEFAULTS,
    fleet_broker::DEFAULTS,
    fleet_records::DEFAULTS,
    fleet_outcomes::DEFAULTS,
    fleet_keys::DEFAULTS,
    fleet_keys::ENROLLMENT_KEY_DEFAULTS,
    fleet_telemetry::DEFAULTS,
];

/// A person at a terminal waits longer for Redis than a worker does.
const REDIS_PATIENCE: Duration = Duration::from_secs(3);

/// Settings, not looked into yet.
pub(crate) struct Sections(Settings);

impl Sections {
    pub(crate) fn load() -> Result<Self, Error> {
        Ok(Self(Settings::load(&DEFAULTS)?))
    }

    pub(crate) fn broker(&self) -> Result<fleet_broker::Settings, Error> {
        self.section("broker", fleet_broker::Settings::check)
    }

    pub(crate) fn records(&self) -> Result<fleet_records::Settings, Error> {
        self.section("records", fleet_records::Settings::check)
    }

    /// Redis under the fleet's user.
    pub(crate) fn fleets_outcomes(&self) -> Result<fleet_outcomes::Settings, Error> {
        self.section("outcomes", fleet_outcomes::Settings::check)
    }

    pub(crate) fn engine(&self) -> Result<fleet_engine::Settings, Error> {
        // Its URL is for those who place calls.
        self.section("engine", |_: &fleet_engine::Settings| Ok(()))
    }

    pub(crate) fn keys(&self) -> Result<Keys, Error> {
        let keys: fleet_keys::Settings = self.0.section("keys")?;
        Keys::from_settings(&keys).map_err(|refused| Error::not_allowed(&self.0, &refused))
    }

    /// The keys, unless neither of them is set.
    pub(crate) fn keys_if_set(&self) -> Result<Option<Keys>, Error> {
        let keys: fleet_keys::Settings = self.0.section("keys")?;
        let unset = |secret: &SecretString| secret.expose_secret().trim().is_empty();
        if unset(&keys.master) && unset(&keys.outcome_signing_key) { Ok(None) } else { self.keys().map(Some) }
    }

    /// The key to which secrets are sealed: the public one that is given, else that of the fleet's own private key where it
    /// is set here.
    pub(crate) fn enrollment_key(&self, given: Option<&str>) -> Result<EnrollmentPublicKey, Error> {
        if let Some(text) = given {
            return EnrollmentPublicKey::parse(text.trim())
                .map_err(|invalid| usage("ENROLLMENT_KEY", &invalid.to_string()));
        }
        let section: fleet_keys::EnrollmentKeySettings = self.0.section("enrollment_keys")?;
        if section.current.expose_secret().trim().is_empty() {
            return Err(Error::Setting(
                "ENROLLMENT_KEY is not set: it is the fleet's public enrollment key, which the enrollment-worker logs when \
                 it starts"
                    .to_owned(),
            ));
        }
        let keys = EnrollmentKeys::from_settings(&section)
            .map_err(|refused| Error::not_allowed(&self.0, &refused))?;
        Ok(keys.current())
    }

    /// Redis for this portal: under its own user if there is one, else under the fleet's.
    pub(crate) fn outcomes(
        &self,
        portal: &PortalName,
        access: &PortalAccess,
    ) -> Result<fleet_outcomes::Settings, Error> {
        let check = |settings: &fleet_outcomes::Settings| settings.check();
        let mut settings = self.section("outcomes", check)?;
        let own = of_portal(access.portal_redis_urls.as_deref(), portal, "PORTAL_REDIS_URLS")?;
        if let Some(url) = own.into_iter().next() {
            settings.url = url.into();
            check(&settings)
                .map_err(|refused| usage(&format!("PORTAL_REDIS_URLS, {portal}"), &refused.allowed))?;
        }
        settings.command_timeout = REDIS_PATIENCE;
        Ok(settings)
    }

    fn section<T: DeserializeOwned>(
        &self,
        name: &str,
        check: impl FnOnce(&T) -> Result<(), NotAllowed>,
    ) -> Result<T, Error> {
        let settings = self.0.section(name)?;
        check(&settings).map_err(|refused| Error::not_allowed(&self.0, &refused))?;
        Ok(settings)
    }
}

/// RabbitMQ under this portal's own user: addresses of one cluster, separated by commas.
pub(crate) fn portal_amqp_urls(portal: &PortalName, access: &PortalAccess) -> Result<String, Error> {
    if let Some(url) = &access.amqp_url {
        return Ok(url.clone());
    }
    let own = of_portal(access.portal_amqp_urls.as_deref(), portal, "PORTAL_AMQP_URLS")?;
    if own.is_empty() {
        return Err(Error::Setting(format!(
            "PORTAL_AMQP_URLS has no address for portal {portal}: add {portal}=amqp://{portal}:PASSWORD@HOST/%2f, or give --amqp-url"
        )));
    }
    Ok(own.join(","))
}

/// The addresses of one portal in a list such as `operations=amqp://…,provider=amqp://…`. Several nodes of a portal are
/// several entries.
fn of_portal(list: Option<&str>, portal: &PortalName, name: &str) -> Result<Vec<String>, Error> {
    let mut own = Vec::new();
    for entry in list.unwrap_or_default().split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (owner, url) = entry.split_once('=').unwrap_or_default();
        // The entry is not shown: it holds a password.
        if PortalName::parse(owner).is_err() || !url.contains("://") {
            return Err(usage(name, "a list of PORTAL=URL, separated by commas"));
        }
        if owner == portal.as_str() {
            own.push(url.to_owned());
        }
    }
    Ok(own)
}

fn usage(name: &str, allowed: &str) -> Error {
    Error::Setting(format!("{name}: allowed is {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(env: &[(&str, &str)]) -> Sections {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Sections(Settings::load_from(&DEFAULTS, None, env).unwrap())
    }

    fn portal(name: &str) -> PortalName {
        PortalName::parse(name).unwrap()
    }

    fn access(amqp: Option<&str>, redis: Option<&str>) -> PortalAccess {
        PortalAccess {
            amqp_url: None,
            portal_amqp_urls: amqp.map(str::to_owned),
            portal_redis_urls: redis.map(str::to_owned),
        }
    }

    #[test]
    fn a_portal_finds_its_own_addresses() {
        let list = "a=amqp://a:x@one/%2f, b=amqp://b:y@one/%2f,a=amqp://a:x@two/%2f";
        let urls = |name: &str| portal_amqp_urls(&portal(name), &access(Some(list), None));
        assert_eq!(urls("a").unwrap(), "amqp://a:x@one/%2f,amqp://a:x@two/%2f");
        let error = urls("c").unwrap_err();
        assert_eq!(error.exit().code(), 78);
        assert!(error.line().unwrap().contains("PORTAL_AMQP_URLS has no address for portal c"));
        assert!(!error.line().unwrap().contains(":x@"));
    }

    #[test]
    fn a_list_that_is_none_is_refused_without_its_passwords() {
        for list in ["amqp://a:secret@one/%2f", "a=secret", "A=amqp://a:secret@one"] {
            let error = portal_amqp_urls(&portal("a"), &access(Some(list), None)).unwrap_err();
            let line = error.line().unwrap();
            assert!(line.contains("PORTAL_AMQP_URLS: allowed is a list of PORTAL=URL"), "{line}");
            assert!(!line.contains("secret"), "{line}");
        }
    }

    #[test]
    fn redis_is_the_portals_own_or_the_fleets() {
        let sections = sections(&[("REDIS_URL", "redis://fleet/0")]);
        let url = |name: &str| {
            let settings = sections.outcomes(&portal(name), &access(None, Some("a=redis://a:x@own/0")));
            settings.unwrap().url.expose_secret().to_owned()
        };
        assert_eq!((url("a").as_str(), url("b").as_str()), ("redis://a:x@own/0", "redis://fleet/0"));
        let wrong = sections.outcomes(&portal("a"), &access(None, Some("a=http://a:secret@own")));
        let line = wrong.unwrap_err().line().unwrap();
        assert!(
            line.starts_with("fleetctl: PORTAL_REDIS_URLS, a: allowed is") && !line.contains("secret"),
            "{line}"
        );
    }

    #[test]
    fn a_missing_key_is_named_by_the_commands_that_need_it_only() {
        let line = sections(&[]).keys().unwrap_err().line().unwrap();
        assert!(line.contains("keys.master") && line.ends_with("set FLEET_KEYS__MASTER"), "{line}");
        assert!(sections(&[]).keys_if_set().unwrap().is_none());
        let half = sections(&[("FLEET_KEYS__MASTER", &"ab".repeat(32))]);
        let line = half.keys_if_set().map(|_| ()).unwrap_err().line().unwrap();
        assert!(line.ends_with("set FLEET_KEYS__OUTCOME_SIGNING_KEY"), "{line}");
        sections(&[]).broker().unwrap();
        sections(&[]).records().unwrap();
    }
}
