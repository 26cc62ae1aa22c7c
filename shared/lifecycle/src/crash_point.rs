//! Named moments at which a test lets its process die: between two steps whose order decides what a survivor finds.
//!
//! Without the feature `crash-points`, which only the fault tests ask for, all of this compiles to nothing. With it a
//! process still dies nowhere unless its own `main` has called `arm`: no setting and no variable can.

/// A moment between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// A request was delivered; nothing is stored.
    Delivered,
    /// The challenge is stored; nothing has begun.
    Accepted,
    /// An attempt is stored as `dialing` or `sending`; nothing was sent.
    Committed,
    /// The provider's request is under way: not sent, sent, or carried out without an answer.
    Posting,
    /// The provider has answered; what came of it is not stored.
    Posted,
    /// What came of the attempt is stored; the message is not acked.
    Stored,
    /// The message is acked.
    Acked,
    /// A callback or an app's answer is in; nothing of it is stored.
    CalledBack,
    /// The end is stored; the portal is not told.
    Ended,
    /// The portal is told; that is not marked.
    Told,
    /// A sweep has claimed what it found; nothing is done about it.
    Swept,
    /// The stop was asked for, and consuming has ended; what was taken is not finished.
    Draining,
    /// The try of a one-time code is stored; what the code is is not.
    CodeTried,
    /// The code was compared, and taken where it was right; that is not stored.
    CodeCompared,
    /// A message about an enrollment was delivered; nothing of it is stored.
    EnrollmentDelivered,
    /// The request is stored; neither its test nor its change has begun.
    EnrollmentOpened,
    /// The test is under way; the message is not acked.
    TestBegun,
    /// The end of a test is stored with its challenge; the enrollment-worker is not told.
    TestEnded,
    /// The request has passed what it had to pass; its change is not stored.
    ChangePassed,
    /// The change is stored; the portal is not told.
    ChangeStored,
    /// The portal is told of the change; that is not marked.
    ChangeTold,
    /// A newer request is stored in the place of an older one; the older one's test is not ended.
    RequestSuperseded,
}

impl CrashPoint {
    /// Those of a challenge, in the order of its life; last those that only a code comes to.
    pub const OF_CHALLENGES: [Self; 14] = [
        Self::Delivered,
        Self::Accepted,
        Self::Committed,
        Self::Posting,
        Self::Posted,
        Self::Stored,
        Self::Acked,
        Self::CalledBack,
        Self::Ended,
        Self::Told,
        Self::Swept,
        Self::Draining,
        Self::CodeTried,
        Self::CodeCompared,
    ];

    /// Those of a request to change an enrollment, in the order of its life.
    pub const OF_ENROLLMENTS: [Self; 8] = [
        Self::EnrollmentDelivered,
        Self::EnrollmentOpened,
        Self::TestBegun,
        Self::TestEnded,
        Self::ChangePassed,
        Self::ChangeStored,
        Self::ChangeTold,
        Self::RequestSuperseded,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::OF_CHALLENGES.into_iter().chain(Self::OF_ENROLLMENTS)
    }

    /// Its name, such as `c4-posting`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "c1-delivered",
            Self::Accepted => "c2-accepted",
            Self::Committed => "c3-committed",
            Self::Posting => "c4-posting",
            Self::Posted => "c5-posted",
            Self::Stored => "c6-stored",
            Self::Acked => "c7-acked",
            Self::CalledBack => "c8-called-back",
            Self::Ended => "c9-ended",
            Self::Told => "c10-told",
            Self::Swept => "c11-swept",
            Self::Draining => "c12-draining",
            Self::CodeTried => "t1-tried",
            Self::CodeCompared => "t2-compared",
            Self::EnrollmentDelivered => "e1-delivered",
            Self::EnrollmentOpened => "e2-opened",
            Self::TestBegun => "e3-test-begun",
            Self::TestEnded => "e4-test-ended",
            Self::ChangePassed => "e5-passed",
            Self::ChangeStored => "e6-stored",
            Self::ChangeTold => "e7-told",
            Self::RequestSuperseded => "e8-superseded",
        }
    }
}

#[cfg(feature = "crash-points")]
pub use armed::{Armed, arm, crash_during, crash_point};

#[cfg(not(feature = "crash-points"))]
pub use unarmed::{crash_during, crash_point};

#[cfg(not(feature = "crash-points"))]
mod unarmed {
    use super::CrashPoint;

    /// The process may die here, in a test of that.
    #[inline]
    pub const fn crash_point(_: CrashPoint) {}

    /// The process may die while this future works, in a test of that.
    #[inline]
    pub const fn crash_during<F: Future>(_: CrashPoint, future: F) -> F {
        future
    }
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::CrashPoint;

    static ARMED: OnceLock<Armed> = OnceLock::new();
    static PASSES: AtomicU32 = AtomicU32::new(0);

    /// Where and when this process dies.
    #[derive(Clone, Copy, Debug)]
    pub struct Armed {
        /// The moment.
        pub point: CrashPoint,
        /// At which of its passes, from 1.
        pub pass: u32,
        /// Where the moment has a length: how far into it.
        pub after: Duration,
    }

    /// Lets this process die at a point. Only the first call counts.
    pub fn arm(armed: Armed) {
        let _ = ARMED.set(armed);
    }

    /// The process dies here, if that was asked for.
    pub fn crash_point(point: CrashPoint) {
        if due(point).is_some() {
            die(point);
        }
    }

    /// The process dies while this future works, or at its end if that comes first, if that was asked for.
    pub async fn crash_during<F: Future>(point: CrashPoint, future: F) -> F::Output {
        let Some(after) = due(point) else { return future.await };
        let _ = tokio::time::timeout(after, future).await;
        die(point)
    }

    /// How far into the moment to die, if at this very pass.
    fn due(point: CrashPoint) -> Option<Duration> {
        let armed = ARMED.get().filter(|armed| armed.point == point)?;
        (PASSES.fetch_add(1, Ordering::Relaxed) + 1 == armed.pass).then_some(armed.after)
    }

    #[expect(
        clippy::print_stderr,
        reason = "the test that armed it reads this, and no log is flushed any more"
    )]
    fn die(point: CrashPoint) -> ! {
        eprintln!("crash point {}", point.name());
        std::process::abort()
    }
}
