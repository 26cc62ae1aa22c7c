//! What a portal needs to know about the fleet.

use fleet_domain::PortalName;
use fleet_settings::{ExposeSecret, NotAllowed, SecretString};

use crate::Error;

/// Where the fleet is, and who asks.
#[derive(Clone, Debug)]
pub struct PortalSettings {
    /// The portal's name, which is also its RabbitMQ user.
    pub portal: PortalName,
    /// AMQP URIs of the nodes of one RabbitMQ cluster, with the portal's user and password.
    pub amqp_urls: Vec<SecretString>,
    /// `redis://` or `rediss://` URL, with the portal's user and password.
    pub redis_url: SecretString,
    /// The fleet's public key as JSON, one JWK or a JWK set. With it, an ended outcome counts only under the fleet's signature;
    /// without it, whoever can write to Redis can approve.
    pub outcome_jwk: Option<String>,
    /// `broker.namespace` of the fleet; usually empty.
    pub broker_namespace: String,
    /// `outcomes.key_prefix` of the fleet.
    pub key_prefix: String,
}

impl PortalSettings {
    /// A fleet with the usual names. `amqp_urls` are separated by commas.
    pub fn new(portal: PortalName, amqp_urls: &str, redis_url: &str) -> Self {
        Self {
            portal,
            amqp_urls: amqp_urls.split(',').map(|url| url.trim().into()).collect(),
            redis_url: redis_url.into(),
            outcome_jwk: None,
            broker_namespace: String::new(),
            key_prefix: "mfa".to_owned(),
        }
    }

    /// The same with the fleet's public key.
    #[must_use]
    pub fn verifying(self, outcome_jwk: String) -> Self {
        Self { outcome_jwk: Some(outcome_jwk), ..self }
    }

    pub(crate) fn broker(&self) -> Result<fleet_broker::Settings, Error> {
        let namespace = self.broker_namespace.clone();
        let settings = fleet_broker::Settings::for_urls(self.amqp_urls.clone()).map_err(Error::settings)?;
        // The fleet takes the name from RabbitMQ, so under another user this portal would never find its outcomes.
        if !self.amqp_urls.iter().all(|url| user(url.expose_secret()) == Some(self.portal.as_str())) {
            let portal = &self.portal;
            return Err(Error::settings(NotAllowed::new("amqp_urls", format!("URIs of the user {portal}"))));
        }
        Ok(fleet_broker::Settings { namespace, ..settings })
    }

    pub(crate) fn outcomes(&self) -> Result<fleet_outcomes::Settings, Error> {
        let settings = fleet_outcomes::Settings::for_url(self.redis_url.clone()).map_err(Error::settings)?;
        Ok(fleet_outcomes::Settings { key_prefix: self.key_prefix.clone(), ..settings })
    }
}

/// The user in an AMQP URI. A portal's name has no character that would be encoded.
fn user(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (user_info, _) = rest.rsplit_once('@')?;
    user_info.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_user_must_be_the_portal() {
        for (urls, right) in [
            ("amqp://vpn:pass@localhost/%2f", true),
            ("amqp://vpn:pass@a/%2f, amqps://vpn:p@b/%2f", true),
            ("amqp://vpn:pass@a/%2f,amqp://fleet:pass@b/%2f", false),
            ("amqp://localhost/%2f", false),
            ("", false),
        ] {
            let portal = PortalName::parse("vpn").unwrap();
            let settings = PortalSettings::new(portal, urls, "redis://localhost");
            assert_eq!(settings.broker().is_ok(), right, "{urls}");
        }
    }
}
