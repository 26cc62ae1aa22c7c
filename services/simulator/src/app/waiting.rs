//! Which challenges apps are busy with: so that a second push starts nothing twice, and `ended` can withdraw.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

/// An app's work on one challenge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Work {
    pub(super) device: Uuid,
    pub(super) portal: String,
    pub(super) challenge: String,
}

/// All work that has begun and not ended. The sender withdraws it; it is taken when the answer is sent, as nothing can
/// be withdrawn any more then.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<Work, Option<oneshot::Sender<()>>>>);

impl Waiting {
    /// Begins; `None` when the app is at it already. What is returned is ready once the work is withdrawn.
    pub(super) fn begin(&self, work: Work) -> Option<oneshot::Receiver<()>> {
        match self.lock().entry(work) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                let (sender, withdrawn) = oneshot::channel();
                place.insert(Some(sender));
                Some(withdrawn)
            }
        }
    }

    /// Withdraws; whether there was anything that had not been answered yet.
    pub(super) fn withdraw(&self, work: &Work) -> bool {
        self.take(work).is_some_and(|sender| sender.send(()).is_ok())
    }

    /// Whether the answer may be sent: the work was not withdrawn, and will not be.
    pub(super) fn may_answer(&self, work: &Work) -> bool {
        self.take(work).is_some()
    }

    /// Ends it, however it went.
    pub(super) fn end(&self, work: &Work) {
        self.lock().remove(work);
    }

    fn take(&self, work: &Work) -> Option<oneshot::Sender<()>> {
        self.lock().get_mut(work).and_then(Option::take)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Work, Option<oneshot::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_either_withdrawn_or_answered_and_begins_once() {
        let waiting = Waiting::default();
        let work = Work { device: Uuid::nil(), portal: "operations".to_owned(), challenge: "c".to_owned() };
        assert!(!waiting.withdraw(&work), "nothing has begun");
        let mut withdrawn = waiting.begin(work.clone()).unwrap();
        assert!(waiting.begin(work.clone()).is_none());
        assert!(waiting.withdraw(&work) && !waiting.withdraw(&work) && !waiting.may_answer(&work));
        assert_eq!(withdrawn.try_recv(), Ok(()));
        waiting.end(&work);
        let _withdrawn = waiting.begin(work.clone()).unwrap();
        assert!(waiting.may_answer(&work) && !waiting.withdraw(&work));
    }
}
