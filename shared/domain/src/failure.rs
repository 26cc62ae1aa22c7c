//! What a failure of a provider means for the next step, decided once, where the failure is seen.

use core::time::Duration;

/// Whether a request may be made again, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Nothing was done and the same request may succeed soon.
    Transient,
    /// Nothing was done; the provider asks for a pause, of the length it names.
    Throttled {
        /// The pause that the provider asked for, if it named one.
        after: Option<Duration>,
    },
    /// Nothing was done and the same request will fail again.
    Permanent,
    /// The provider may have acted: never repeat the request, find out instead.
    MaybeHappened,
}
