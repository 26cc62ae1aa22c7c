#![doc = include_str!("../README.md")]

mod administration;
mod batch;
mod bulk;
mod commit;
mod connection;
mod create;
mod enrolled;
mod error;
mod history;
mod load;
mod low_water;
mod metrics;
mod migrations;
mod note;
mod pacing;
mod phones;
mod pins;
mod portals;
mod records;
mod retelling;
mod row;
mod settings;
mod sql_time;
mod standing;
mod storage;
mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
mod told;
mod transition;
mod upkeep;

pub use bulk::{BulkUser, Existing, Imported};
pub use enrolled::{DeviceRecord, NewDevice, NewPhone, NewUser};
pub use error::{Error, ErrorClass, Source};
pub use fleet_keys::DeviceAlg;
pub use note::{Actor, AttemptNote, AuditRow, Detail, EVENT_LONGEST, Note};
pub use pacing::{CarrierRate, Claimed, PacedCarrier, Place, SLOTS_AHEAD, Slot, SlotAsk};
pub use pins::{Guess, GuessLimit};
pub use records::Records;
pub use retelling::Retelling;
pub use settings::{DEFAULTS, Settings};
pub use standing::{Act, Cause, Standing};
pub use storage::Storage;
pub use sweep::ToldCursor;
pub use transition::{Committed, Created, Lane, Line, Stored, Transition};
