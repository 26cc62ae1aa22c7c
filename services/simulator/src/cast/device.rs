//! An app with one account, on one device: its key, its script, and what it remembers.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::AppScript;
use crate::app::Totp;
use crate::device_key::DeviceKey;

/// Where FCM finds an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// A registration token.
    Token(String),
    /// A Firebase installation id.
    Fid(String),
}

/// An app with an account.
pub(crate) struct Device {
    pub(crate) id: Uuid,
    pub(crate) key: Arc<DeviceKey>,
    pub(crate) script: Arc<AppScript>,
    /// Base URL of its gateway, without a slash at its end.
    pub(crate) url: Arc<str>,
    /// What makes one-time codes; `None` for a device that was not activated by the simulator.
    pub(crate) totp: Option<Totp>,
    /// Version of the last push address that was made known.
    version: AtomicI64,
    /// The number that the person has read from the screen and the app has not used yet.
    number: Mutex<Option<String>>,
    number_came: Notify,
    /// The first answer, for an app that replays it.
    first_answer: Mutex<Option<String>>,
    is_removed: AtomicBool,
}

impl Device {
    pub(crate) fn new(id: Uuid, key: Arc<DeviceKey>, script: Arc<AppScript>, url: Arc<str>) -> Self {
        Self {
            id,
            key,
            script,
            url,
            totp: None,
            version: AtomicI64::new(0),
            number: Mutex::default(),
            number_came: Notify::new(),
            first_answer: Mutex::default(),
            is_removed: AtomicBool::new(false),
        }
    }

    /// The version of the next push address: milliseconds since 1970, and above every earlier one.
    pub(crate) fn next_version(&self, now_millis: i64) -> i64 {
        let next = |last: i64| Some(now_millis.max(last + 1));
        let last = self.version.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        now_millis.max(last.unwrap_or_default() + 1)
    }

    /// The person reads this number from the screen.
    pub(crate) fn reads(&self, number: String) {
        *lock(&self.number) = Some(number);
        self.number_came.notify_one();
    }

    /// The number that the person reads from the screen, once there is one. It is used up by that.
    pub(crate) async fn number(&self) -> String {
        loop {
            if let Some(number) = lock(&self.number).take() {
                return number;
            }
            self.number_came.notified().await;
        }
    }

    /// The first answer of all; this one, if there was none.
    pub(crate) fn first_answer(&self, answer: &str) -> String {
        lock(&self.first_answer).get_or_insert_with(|| answer.to_owned()).clone()
    }

    /// Ends its life here: no push wakes it any more, and it asks for nothing by itself.
    pub(crate) fn remove(&self) {
        self.is_removed.store(true, Ordering::Release);
    }

    /// Whether it has no account any more.
    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Acquire)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
