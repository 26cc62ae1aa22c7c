//! The documents that wait for the pipeline: the newest of each key, and whoever waits for it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use fleet_domain::PortalName;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{Error, Told, names::Subject};

/// Whoever waits for the outcome of a write, and since when.
pub(crate) struct Waiter {
    pub(crate) answer: oneshot::Sender<Result<(), Error>>,
    pub(crate) since: Instant,
}

/// A document and its waiters.
pub(crate) struct Waiting {
    pub(crate) told: Told,
    pub(crate) waiters: Vec<Waiter>,
}

/// First in, first out; bounded.
pub(crate) struct Queue {
    documents: Mutex<Documents>,
    filled: Notify,
    documents_max: usize,
}

type Key = (PortalName, Subject);

#[derive(Default)]
struct Documents {
    order: VecDeque<Key>,
    by_key: HashMap<Key, Waiting>,
}

impl Queue {
    pub(crate) fn new(documents_max: usize) -> Self {
        Self { documents: Mutex::default(), filled: Notify::new(), documents_max }
    }

    /// Adds a document, or replaces an older one of the same key. Its answer is that of the newest. `None` if there is no room.
    pub(crate) fn put(&self, told: Told) -> Option<oneshot::Receiver<Result<(), Error>>> {
        let key = (told.portal.clone(), told.subject);
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter { answer, since: Instant::now() };
        let mut documents = self.lock();
        if let Some(waiting) = documents.by_key.get_mut(&key) {
            if waiting.told.seq < told.seq {
                waiting.told = told;
            }
            waiting.waiters.push(waiter);
            return Some(answered);
        }
        if documents.by_key.len() >= self.documents_max {
            return None;
        }
        documents.order.push_back(key.clone());
        documents.by_key.insert(key, Waiting { told, waiters: vec![waiter] });
        drop(documents);
        self.filled.notify_one();
        Some(answered)
    }

    /// Waits until there is something, then takes up to `batch_max` documents.
    pub(crate) async fn take(&self, batch_max: usize) -> Vec<Waiting> {
        loop {
            let batch = self.take_waiting(batch_max);
            if !batch.is_empty() {
                return batch;
            }
            self.filled.notified().await;
        }
    }

    /// Takes up to `batch_max` documents, perhaps none.
    pub(crate) fn take_waiting(&self, batch_max: usize) -> Vec<Waiting> {
        let mut guard = self.lock();
        let documents = &mut *guard;
        let count = documents.order.len().min(batch_max);
        documents.order.drain(..count).filter_map(|key| documents.by_key.remove(&key)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    fn lock(&self) -> MutexGuard<'_, Documents> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use fleet_domain::{ChallengeId, PortalName, Timestamp};

    use super::*;

    fn told(id: u8, seq: u32) -> Told {
        Told {
            portal: PortalName::parse("vpn").unwrap(),
            subject: ChallengeId::from_parts(Timestamp::default(), [id; 10]).into(),
            seq,
            json: format!("{{\"seq\":{seq},\"result\":\"pending\"}}"),
            terminal: false,
            collect_by: Timestamp::default(),
        }
    }

    #[tokio::test]
    async fn the_newest_document_of_a_key_takes_the_place_of_the_older_one_and_its_waiters() {
        let queue = Queue::new(10);
        for (id, seq) in [(1, 2), (2, 1), (1, 4), (1, 3), (1, 4)] {
            queue.put(told(id, seq)).unwrap();
        }
        let batch = queue.take(10).await;
        let summary: Vec<_> = batch.iter().map(|w| (w.told.seq, w.waiters.len())).collect();
        assert_eq!(summary, [(4, 4), (1, 1)]);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn batches_are_taken_in_order_and_no_larger_than_asked() {
        let queue = Queue::new(10);
        for id in 0..5 {
            queue.put(told(id, u32::from(id) + 1)).unwrap();
        }
        for expected in [&[1, 2][..], &[3, 4], &[5]] {
            let seqs: Vec<_> = queue.take(2).await.iter().map(|w| w.told.seq).collect();
            assert_eq!(seqs, expected);
        }
    }

    #[test]
    fn a_full_queue_takes_newer_versions_but_no_further_key() {
        let queue = Queue::new(1);
        assert!(queue.put(told(1, 1)).is_some());
        assert!(queue.put(told(2, 1)).is_none());
        assert!(queue.put(told(1, 2)).is_some());
    }
}
