//! Hashes of PINs and answers, computed by few threads: a burst of requests must leave processors and memory to everything
//! else.

use std::sync::Arc;

use fleet_domain::{NormalAnswer, QuestionId, StoredAnswer, UserId};
use fleet_engine::Error;
use fleet_keys::{AnswerHash, Keys, Pin, PinHash};
use tokio::sync::Semaphore;

/// Computes hashes.
pub(crate) struct Hashing {
    keys: Keys,
    places: Arc<Semaphore>,
}

impl Hashing {
    pub(crate) fn new(keys: Keys, at_once: usize) -> Self {
        Self { keys, places: Arc::new(Semaphore::new(at_once)) }
    }

    /// The hash to store of a PIN.
    pub(crate) async fn pin(&self, user: &UserId, pin: Pin) -> Result<PinHash, Error> {
        let user = user.to_string();
        self.run(move |keys| keys.hash_pin(&user, &pin)).await
    }

    /// Whether a PIN is one of these.
    pub(crate) async fn is_one_of(
        &self,
        user: &UserId,
        pin: String,
        earlier: Vec<PinHash>,
    ) -> Result<bool, Error> {
        let user = user.to_string();
        self.run(move |keys| earlier.iter().any(|hash| keys.pin_matches(&user, &pin, hash))).await
    }

    /// The hashes to store of answers.
    pub(crate) async fn answers(
        &self,
        user: &UserId,
        answers: Vec<(QuestionId, NormalAnswer)>,
    ) -> Result<Vec<StoredAnswer>, Error> {
        let user = user.to_string();
        self.run(move |keys| {
            let stored = |(question, answer): (QuestionId, NormalAnswer)| {
                let hash = keys.hash_answer(&user, question.as_str(), answer.reveal());
                StoredAnswer { question: question.as_str().to_owned(), hash: hash.as_str().to_owned() }
            };
            answers.into_iter().map(stored).collect()
        })
        .await
    }

    /// Whether every answer is the stored one. All are compared, so that the time tells nobody which was wrong.
    pub(crate) async fn all_match(
        &self,
        user: &UserId,
        answers: Vec<(String, NormalAnswer, String)>,
    ) -> Result<bool, Error> {
        let user = user.to_string();
        self.run(move |keys| {
            let matches = |(question, answer, hash): &(String, NormalAnswer, String)| {
                keys.answer_matches(&user, question, answer.reveal(), &AnswerHash::from_stored(hash.clone()))
            };
            let right = answers.iter().filter(|answer| matches(answer)).count();
            right == answers.len()
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&Keys) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| Error::Contended(0))?;
        let keys = self.keys.clone();
        let computed = tokio::task::spawn_blocking(move || {
            let _place = place;
            compute(&keys)
        });
        computed.await.map_err(|_| Error::Contended(0))
    }
}
