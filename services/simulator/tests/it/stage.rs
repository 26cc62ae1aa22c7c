//! A simulator in this process on a free port, with its own log, and a client for its API.

use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_simulator::{DEFAULTS, Settings, start};
use fleet_telemetry::Metrics;
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub(crate) const AUTH_TOKEN: &str = "simulator-auth-token";
pub(crate) const FROM: &str = "+19195550100";

static STAGES: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed with its last user.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) folder: Folder,
    pub(crate) context: Context,
}

impl Stage {
    /// Starts with these lines of settings and this file of people.
    pub(crate) async fn set(settings: &str, people: &str) -> Self {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("fleet-simulator-{}-{number}", process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self::in_folder(Folder(folder), settings, people).await
    }

    pub(crate) async fn in_folder(folder: Folder, settings: &str, people: &str) -> Self {
        let people_path = folder.0.join("people.toml");
        std::fs::write(&people_path, people).unwrap();
        let log = folder.0.join("log.jsonl");
        let speed =
            if settings.lines().any(|line| line.starts_with("speed")) { "" } else { "speed = 200.0\n" };
        let file = format!(
            "[simulator]\nlisten = \"127.0.0.1:0\"\n{speed}people = \"{}\"\nlog = \"{}\"\n{settings}",
            people_path.display(),
            log.display(),
        );
        let all = fleet_settings::Settings::load_from(&[DEFAULTS], Some(&file), std::iter::empty()).unwrap();
        let settings: Settings = all.section("simulator").unwrap();
        settings.check().unwrap();
        let stop = Stop::new();
        let context = Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() };
        let bound = start(&settings, &context, &Metrics::new()).await.unwrap();
        Self { url: format!("http://{bound}"), client: client(), folder, context }
    }

    /// Stops the simulator and gives back its folder.
    pub(crate) async fn strike(self) -> Folder {
        self.context.stop.request_soft();
        assert!(self.context.tasks.wait(Duration::from_secs(5)).await, "the simulator did not stop");
        self.folder
    }

    pub(crate) fn api(&self, path: &str) -> String {
        format!("{}/2010-04-01/Accounts/{ACCOUNT}/{path}", self.url)
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.client.post(self.api(path)).basic_auth(ACCOUNT, Some(AUTH_TOKEN)).form(form);
        answer(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(self.api(path)).basic_auth(ACCOUNT, Some(AUTH_TOKEN))).await
    }

    /// Everything in the log so far.
    pub(crate) async fn log(&self) -> Vec<Value> {
        let text =
            self.client.get(format!("{}/sim/log", self.url)).send().await.unwrap().text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The facts of this name so far.
    pub(crate) async fn facts(&self, name: &str) -> Vec<Value> {
        self.log().await.into_iter().filter(|fact| fact["fact"] == name).collect()
    }

    /// Reads the log until it has this many facts of this name.
    pub(crate) async fn until_logged(&self, name: &str, count: usize) -> Vec<Value> {
        let reading = async {
            loop {
                let facts = self.facts(name).await;
                if facts.len() >= count {
                    return facts;
                }
            }
        };
        let facts = tokio::time::timeout(Duration::from_secs(20), reading).await;
        facts.unwrap_or_else(|_| panic!("the log did not come to hold {count} of {name}"))
    }

    pub(crate) fn create(&self, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.client.post(self.api("Calls.json")).basic_auth(ACCOUNT, Some(AUTH_TOKEN)).form(form)
    }

    /// Sends JSON to `/sim/…` and returns the status of the answer.
    pub(crate) async fn control(&self, path: &str, body: &Value) -> u16 {
        let answer = self.client.post(format!("{}/sim/{path}", self.url)).json(body).send().await.unwrap();
        answer.status().as_u16()
    }

    pub(crate) async fn set_faults(&self, rules: Value) {
        assert_eq!(self.control("faults", &serde_json::json!({ "rules": rules })).await, 204);
    }
}

pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap()
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// Serves until the test ends.
pub(crate) fn serve(listener: TcpListener, app: Router) {
    Tasks::new(Stop::new()).spawn_detail("a server of the test", async move {
        axum::serve(listener, app).await.unwrap();
    });
}
