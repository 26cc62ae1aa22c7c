//! The `[broker]` section. The reasons for the defaults stand in `settings.toml`.

use std::time::Duration;

use fleet_settings::{ExposeSecret, NotAllowed, SecretString, SettingsError};
use lapin::uri::{AMQPScheme, AMQPUri};
use serde::Deserialize;

/// The defaults and the reference of the settings.
pub const DEFAULTS: &str = include_str!("../settings.toml");

const NAMESPACE_MAX: usize = 16;

/// Settings `[broker]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// AMQP URIs of the nodes of one cluster, at least one, all with the same user and virtual host.
    pub urls: Vec<SecretString>,
    /// Prefix of all exchange and queue names; empty for none.
    pub namespace: String,
    /// RabbitMQ users of the fleet's other processes.
    pub fleet_users: Vec<String>,
    /// Interval of AMQP heartbeats, whole seconds.
    #[serde(with = "fleet_settings::duration")]
    pub heartbeat: Duration,
    /// How long opening a connection or a channel may take.
    #[serde(with = "fleet_settings::duration")]
    pub connect_timeout: Duration,
    /// How long declaring all exchanges and queues may take.
    #[serde(with = "fleet_settings::duration")]
    pub declare_timeout: Duration,
    /// How long a publisher waits for a connection and the broker's confirm together.
    #[serde(with = "fleet_settings::duration")]
    pub confirm_timeout: Duration,
    /// Channels over which confirmed publishes are spread.
    pub publisher_channels: usize,
    /// Deliveries that a consumer works on at once, for services that ask for no other number.
    pub prefetch: u16,
    /// Largest body in bytes that is given to a handler.
    pub max_body_bytes: usize,
    /// Messages that a queue holds before it refuses more.
    pub max_length: u32,
    /// Shortest rest of a delivery before it goes back to its queue.
    #[serde(with = "fleet_settings::duration")]
    pub redelivery_pause: Duration,
    /// How long a consumer may be idle before it asks the broker whether it is still subscribed.
    #[serde(with = "fleet_settings::duration")]
    pub idle_check: Duration,
}

impl Settings {
    /// The defaults with other `urls`, for a process that has no `[broker]` section, such as a portal.
    pub fn for_urls(urls: Vec<SecretString>) -> Result<Self, SettingsError> {
        let defaults = fleet_settings::Settings::load_from(&[DEFAULTS], None, std::iter::empty())?;
        Ok(Self { urls, ..defaults.section("broker")? })
    }

    /// Fails with the name of the first setting that can't be used.
    pub fn check(&self) -> Result<(), NotAllowed> {
        self.endpoints()?;
        let heartbeat = self.heartbeat.subsec_nanos() == 0 && (1..=60).contains(&self.heartbeat.as_secs());
        let rules = [
            (is_namespace(&self.namespace), "broker.namespace", "none or up to 16 of a-z, 0-9 and '-'"),
            (heartbeat, "broker.heartbeat", "whole seconds from 1s to 60s"),
            (!self.connect_timeout.is_zero(), "broker.connect_timeout", "more than 0s"),
            (!self.declare_timeout.is_zero(), "broker.declare_timeout", "more than 0s"),
            (!self.confirm_timeout.is_zero(), "broker.confirm_timeout", "more than 0s"),
            ((1..=64).contains(&self.publisher_channels), "broker.publisher_channels", "1 to 64"),
            ((1..=10_000).contains(&self.prefetch), "broker.prefetch", "1 to 10000"),
            ((1024..=1024 * 1024).contains(&self.max_body_bytes), "broker.max_body_bytes", "1024 to 1048576"),
            (self.max_length >= 1000, "broker.max_length", "at least 1000"),
            (self.redelivery_pause <= Duration::from_mins(1), "broker.redelivery_pause", "up to 60s"),
            (self.idle_check >= Duration::from_secs(1), "broker.idle_check", "at least 1s"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, setting, allowed)) => Err(NotAllowed::new(setting, allowed)),
            None => Ok(()),
        }
    }

    /// The parsed `urls`, with the heartbeat of the settings.
    pub(crate) fn endpoints(&self) -> Result<Vec<AMQPUri>, NotAllowed> {
        let only = |allowed| NotAllowed::new("broker.urls", allowed);
        let mut endpoints = Vec::with_capacity(self.urls.len());
        for url in &self.urls {
            let mut endpoint: AMQPUri =
                url.expose_secret().trim().parse().map_err(|_| only("amqp:// and amqps:// URIs"))?;
            endpoint.query.heartbeat = Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
            endpoints.push(endpoint);
        }
        let Some(first) = endpoints.first() else {
            return Err(only("at least one URI"));
        };
        let same = |other: &AMQPUri| {
            other.vhost == first.vhost
                && other.authority.userinfo.username == first.authority.userinfo.username
        };
        if !endpoints.iter().all(same) {
            return Err(only("the same user and virtual host in all URIs"));
        }
        Ok(endpoints)
    }
}

/// Where an endpoint is, without its password.
pub(crate) fn address(endpoint: &AMQPUri) -> String {
    let scheme = match endpoint.scheme {
        AMQPScheme::AMQP => "amqp",
        AMQPScheme::AMQPS => "amqps",
    };
    format!("{scheme}://{}:{}", endpoint.authority.host, endpoint.authority.port)
}

fn is_namespace(text: &str) -> bool {
    text.len() <= NAMESPACE_MAX
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Settings {
        Settings::for_urls(vec!["amqp://fleet:secret@localhost/%2f".into()]).unwrap()
    }

    #[test]
    fn the_defaults_are_accepted() {
        defaults().check().unwrap();
    }

    #[test]
    fn a_bad_setting_is_named() {
        type Change = fn(&mut Settings);
        let cases: [(&str, Change); 13] = [
            ("broker.urls", |s| s.urls.clear()),
            ("broker.urls", |s| s.urls = vec!["http://localhost".into()]),
            ("broker.urls", |s| s.urls.push("amqp://other:secret@localhost/%2f".into())),
            ("broker.urls", |s| s.urls.push("amqp://fleet:secret@localhost/other".into())),
            ("broker.namespace", |s| s.namespace = "a.b".into()),
            ("broker.namespace", |s| s.namespace = "x".repeat(17)),
            ("broker.heartbeat", |s| s.heartbeat = Duration::from_millis(1500)),
            ("broker.confirm_timeout", |s| s.confirm_timeout = Duration::ZERO),
            ("broker.publisher_channels", |s| s.publisher_channels = 0),
            ("broker.prefetch", |s| s.prefetch = 0),
            ("broker.max_body_bytes", |s| s.max_body_bytes = 10),
            ("broker.max_length", |s| s.max_length = 1),
            ("broker.idle_check", |s| s.idle_check = Duration::ZERO),
        ];
        for (named, change) in cases {
            let mut settings = defaults();
            change(&mut settings);
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(named), "{named}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn an_address_shows_no_password() {
        let endpoints = defaults().endpoints().unwrap();
        assert_eq!(address(&endpoints[0]), "amqp://localhost:5672");
        assert_eq!(endpoints[0].query.heartbeat, Some(5));
    }
}
