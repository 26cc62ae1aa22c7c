//! The demo's two files, as far as the references tell of them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use fleet_domain::{Assurance, Change};
use serde::Deserialize;

/// The demo.
pub(crate) struct Demo {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) cast: Cast,
}

/// A challenge or a change that it plays; `fleetctl play` reads the same fields.
#[derive(Deserialize)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    pub(crate) portal: String,
    pub(crate) user: String,
    #[serde(default = "default_method")]
    pub(crate) method: String,
    /// What is changed, where it is a change of an enrollment.
    pub(crate) change: Option<Change>,
    /// What the change takes.
    #[serde(default)]
    pub(crate) with: BTreeMap<String, toml::Value>,
    pub(crate) expect: Expected,
    /// Whatever else is asked for.
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, toml::Value>,
}

/// Challenges and changes have words of their own for both.
#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) result: String,
    pub(crate) reason: String,
    pub(crate) assurance: Option<Assurance>,
    pub(crate) next_step: Option<String>,
}

/// Who is there, and what they do.
#[derive(Deserialize)]
pub(crate) struct Cast {
    user: Vec<User>,
    person: Vec<BTreeMap<String, toml::Value>>,
    device: Vec<BTreeMap<String, toml::Value>>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    method: String,
    #[serde(default)]
    phones: Vec<Phone>,
}

#[derive(Deserialize)]
struct Phone {
    role: String,
    kind: String,
    number: String,
    extension: Option<String>,
}

#[derive(Deserialize)]
struct Scenarios {
    scenario: Vec<Scenario>,
}

fn default_method() -> String {
    "default".to_owned()
}

pub(crate) fn read() -> anyhow::Result<Demo> {
    let scenarios: Scenarios =
        toml::from_str(include_str!("../../ops/demo-data/scenarios.toml")).context("scenarios.toml")?;
    let cast = toml::from_str(include_str!("../../ops/demo-data/people.toml")).context("people.toml")?;
    Ok(Demo { scenarios: scenarios.scenario, cast })
}

impl Cast {
    /// What is called, pushed or awaited in a scenario, and what the person does there.
    pub(crate) fn plays(&self, scenario: &Scenario) -> (String, String) {
        let Some(user) = self.user.iter().find(|user| user.id == scenario.user) else {
            return ("–".to_owned(), "is known to nobody".to_owned());
        };
        let method = if scenario.method == "default" { &user.method } else { &scenario.method };
        if method == "push" {
            return self.app(user);
        }
        if method == "totp" {
            let typed = scenario.rest.get("code").map_or_else(|| "nothing".to_owned(), plain);
            return ("nothing; a code is awaited".to_owned(), format!("types {typed}"));
        }
        let role = scenario.rest.get("target").and_then(toml::Value::as_str).unwrap_or("primary");
        let Some(phone) = user.phones.iter().find(|phone| phone.role == role) else {
            return (format!("{role} phone"), "has none".to_owned());
        };
        let extension = phone.extension.as_ref().map(|digits| format!(", extension `{digits}`"));
        let reached = format!("{} phone, {}{}", phone.role, phone.kind, extension.unwrap_or_default());
        (reached, self.person_at(&phone.number).map_or_else(|| "is not called".to_owned(), acts))
    }

    /// What whoever is called in the test of a change does there; nothing where nobody is.
    pub(crate) fn tested(&self, scenario: &Scenario) -> String {
        let is_tested = scenario.expect.result == "done";
        let number = scenario.with.get("number").and_then(toml::Value::as_str).filter(|_| is_tested);
        number.and_then(|number| self.person_at(number)).map(acts).unwrap_or_default()
    }

    fn person_at(&self, number: &str) -> Option<&BTreeMap<String, toml::Value>> {
        let is_there =
            |person: &&BTreeMap<_, _>| person.get("number").and_then(toml::Value::as_str) == Some(number);
        self.person.iter().find(is_there)
    }

    fn app(&self, user: &User) -> (String, String) {
        let owned =
            |device: &&BTreeMap<_, _>| device.get("user").and_then(toml::Value::as_str) == Some(&user.id);
        let acts: Vec<String> = self.device.iter().filter(owned).map(acts).collect();
        let reached =
            if acts.len() == 1 { "app".to_owned() } else { format!("app on {} devices", acts.len()) };
        (reached, acts.join("; "))
    }
}

/// What a script says in so many words: every field but those that say who it is.
fn acts(script: &BTreeMap<String, toml::Value>) -> String {
    const WHO: [&str; 9] =
        ["name", "number", "user", "device_id", "fcm_token", "public_key", "private_key", "alg", "totp"];
    let told = script.iter().filter(|(field, _)| !WHO.contains(&field.as_str()));
    told.map(|(field, value)| worded(field, value)).collect::<Vec<_>>().join(", ")
}

/// A field and its value; of a switch that is on, the field alone.
pub(crate) fn worded(field: &str, value: &toml::Value) -> String {
    let field = field.replace('_', " ");
    if value.as_bool() == Some(true) { field } else { format!("{field} {}", plain(value)) }
}

/// A value as people write it.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" then "),
        toml::Value::Table(fields) => {
            let fields = fields.iter().map(|(field, value)| worded(field, value));
            fields.collect::<Vec<_>>().join(", ")
        }
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => value.to_string(),
    }
}
