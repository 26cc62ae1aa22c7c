//! The apps of people who get one while they are played: the simulator's, which scan what the portal shows.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use crate::error::Error;

const PATIENCE: Duration = Duration::from_secs(20);

/// Where people get the app.
pub(super) struct Apps {
    client: Client,
    url: String,
}

impl Apps {
    /// At the base URL of a simulator.
    pub(super) fn at(url: Option<&str>) -> Result<Option<Self>, Error> {
        let Some(url) = url else { return Ok(None) };
        fleet_keys::install_tls_provider();
        let url = format!("{}/sim/apps", url.trim_end_matches('/'));
        match Client::builder().timeout(PATIENCE).build() {
            Ok(client) => Ok(Some(Self { client, url })),
            Err(error) => Err(Error::AppNotActivated { url, problem: error.to_string() }),
        }
    }

    /// The person scans the code; the app activates itself, and from then on does what the script says.
    pub(super) async fn activate(&self, qr: &str, script: &toml::Table) -> Result<(), Error> {
        let mut order = json!(script);
        order["qr"] = Value::from(qr);
        let failed = |problem| Error::AppNotActivated { url: self.url.clone(), problem };
        let answer = self.client.post(&self.url).json(&order).send().await;
        // Its text could quote the order, which holds the code.
        let answer = answer.map_err(|error| failed(error.without_url().to_string()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(failed(format!("it answered {status}"))) }
    }
}
