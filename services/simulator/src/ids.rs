//! Identifiers: unique and without pattern, which is all that a simulated provider owes.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// 64 bits that no earlier call returned, as far as chance allows.
pub(crate) fn fresh_bits() -> u64 {
    SEED.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A Twilio sid: the two letters and 32 hexadecimal digits.
pub(crate) fn sid(prefix: &str) -> String {
    format!("{prefix}{:016x}{:016x}", fresh_bits(), fresh_bits())
}

/// A random UUID (version 4).
pub(crate) fn uuid() -> uuid::Uuid {
    let bits = (u128::from(fresh_bits()) << 64) | u128::from(fresh_bits());
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}
