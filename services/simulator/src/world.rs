//! The world: what the providers, the people and the apps of one simulator share.

use std::time::Duration;

use fleet_lifecycle::{Stop, Tasks};

use crate::app::Apps;
use crate::call::CallBook;
use crate::call::queue::Queue;
use crate::call::webhook::Webhooks;
use crate::carrier_time::CarrierTime;
use crate::cast::Cast;
use crate::faults::Faults;
use crate::fcm::Fcm;
use crate::journal::Journal;
use crate::metrics::SimulatorMetrics;
use crate::twilio::Accounts;

/// Everything that is shared, by all requests and tasks.
pub(crate) struct World {
    pub(crate) account_sid: String,
    pub(crate) accounts: Accounts,
    pub(crate) post_dial: Duration,
    pub(crate) provider_delay: Duration,
    /// Whether a Gather's action hears of a callee who hangs up.
    pub(crate) hang_up_calls_action: bool,
    pub(crate) time: CarrierTime,
    pub(crate) queue: Queue,
    pub(crate) calls: CallBook,
    pub(crate) cast: Cast,
    pub(crate) webhooks: Webhooks,
    pub(crate) fcm: Fcm,
    pub(crate) apps: Apps,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) metrics: SimulatorMetrics,
    pub(crate) tasks: Tasks,
    pub(crate) stop: Stop,
}
