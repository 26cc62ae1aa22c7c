//! Whether a service can do its work, as a set of named checks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// All checks of a service. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// The reason why a check fails, if it does. A std mutex: it is never held over an await.
    checks: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

/// A check that fails, as `/readyz` shows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Failing {
    /// The name of the check.
    pub check: &'static str,
    /// Why it fails.
    pub reason: String,
}

impl Readiness {
    /// No checks: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, which fails with the reason `starting` until its flag is set. A name that is known gives the same check.
    pub fn check(&self, name: &'static str) -> ReadyFlag {
        self.lock().entry(name).or_insert_with(|| Some("starting".to_owned()));
        ReadyFlag { name, readiness: self.clone() }
    }

    /// Whether all checks pass.
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(Option::is_none)
    }

    /// The checks that fail, by name.
    pub fn failing(&self) -> Vec<Failing> {
        let failing = |(&check, reason): (&&'static str, &Option<String>)| {
            reason.clone().map(|reason| Failing { check, reason })
        };
        self.lock().iter().filter_map(failing).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets one check.
#[derive(Clone, Debug)]
pub struct ReadyFlag {
    name: &'static str,
    readiness: Readiness,
}

impl ReadyFlag {
    /// Lets the check pass, or fail with the reason `not ready`.
    pub fn set_ready(&self, ready: bool) {
        self.set(if ready { None } else { Some("not ready".to_owned()) });
    }

    /// Lets the check fail for a reason, which everyone who reaches the admin port can read.
    pub fn set_failing(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<String>) {
        self.readiness.lock().insert(self.name, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_checks_must_pass() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let (broker, records) = (readiness.check("broker"), readiness.check("records"));
        let failing = |check, reason: &str| Failing { check, reason: reason.to_owned() };
        assert_eq!(readiness.failing(), [failing("broker", "starting"), failing("records", "starting")]);
        broker.set_ready(true);
        records.set_failing("no connection");
        assert_eq!(readiness.failing(), [failing("records", "no connection")]);
        assert!(!readiness.is_ready());
        records.clone().set_ready(true);
        assert!(readiness.clone().is_ready());
        readiness.check("broker");
        assert!(readiness.is_ready(), "a second flag of a check changed it");
        broker.set_ready(false);
        assert_eq!(readiness.failing(), [failing("broker", "not ready")]);
    }
}
