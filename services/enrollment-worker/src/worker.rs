//! What every part of this service works with.

use std::sync::Arc;

use fleet_domain::{ChallengeId, Timestamp};
use fleet_engine::{Assembly, Engine, Error};
use fleet_keys::EnrollmentKeys;
use fleet_records::Records;

use crate::hashing::Hashing;
use crate::metrics::EnrollmentMetrics;
use crate::settings::Settings;

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) engine: Engine,
    /// The keys that open sealed boxes.
    pub(crate) boxes: EnrollmentKeys,
    pub(crate) hashing: Arc<Hashing>,
    pub(crate) metrics: EnrollmentMetrics,
    pub(crate) settings: Settings,
}

impl Worker {
    pub(crate) fn new(assembly: &Assembly, settings: Settings, boxes: EnrollmentKeys) -> Self {
        Self {
            engine: assembly.engine.clone(),
            boxes,
            hashing: Arc::new(Hashing::new(assembly.engine.keys().clone(), settings.hash_at_once)),
            metrics: EnrollmentMetrics::new(&assembly.metrics),
            settings,
        }
    }

    pub(crate) fn records(&self) -> &Records {
        self.engine.records()
    }

    /// The time that decides; fails until it was measured.
    pub(crate) fn now(&self) -> Result<Timestamp, Error> {
        Ok(self.records().now()?)
    }

    /// An id for the challenge of a test.
    pub(crate) fn new_test_id(now: Timestamp) -> ChallengeId {
        ChallengeId::from_parts(now, fleet_keys::random_bytes())
    }
}
