//! Opening connections: a few at once, and each to its end.
//!
//! A connection costs PostgreSQL a process and some milliseconds of cryptography. Whoever waits for one gives up after a while. If
//! an opening ended with its caller, a busy PostgreSQL would begin one for each of them and finish none: those who come next would
//! find it busier still. So an opening goes on without its caller, and whoever waits by then gets the connection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error};

/// How many connections of one pool are opened at once.
const AT_ONCE: usize = 4;

/// A connection, and the task that serves it.
type Opened = (Client, JoinHandle<()>);

/// Opens the connections of one pool.
pub(crate) struct Openings<C> {
    connect: Arc<C>,
    /// After this an opening is given up, whoever waits for it.
    patience: Duration,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// Oldest first.
    waiting: VecDeque<oneshot::Sender<Result<Opened, Error>>>,
    under_way: usize,
    /// Those for which nobody waited any more when they were open.
    spare: Vec<Opened>,
}

impl Queue {
    fn take_spare(&mut self) -> Option<Opened> {
        while let Some(spare) = self.spare.pop() {
            if !spare.0.is_closed() {
                return Some(spare);
            }
        }
        None
    }

    /// Begins one more opening, if those who wait want it.
    fn begins(&mut self) -> bool {
        self.waiting.retain(|one| !one.is_closed());
        let wanted = self.under_way < self.waiting.len().min(AT_ONCE);
        self.under_way += usize::from(wanted);
        wanted
    }

    fn give(&mut self, mut opened: Result<Opened, Error>) {
        while let Some(first) = self.waiting.pop_front() {
            match first.send(opened) {
                Ok(()) => return,
                Err(back) => opened = back,
            }
        }
        self.spare.extend(opened);
    }
}

impl<C: Connect + 'static> Openings<C> {
    pub(crate) fn new(connect: C, patience: Duration) -> Self {
        Self { connect: Arc::new(connect), patience, queue: Arc::default() }
    }

    /// A connection that is there, or the place in the queue for one that is opened.
    fn ask(&self, config: &Config) -> Result<Opened, oneshot::Receiver<Result<Opened, Error>>> {
        let mut queue = lock(&self.queue);
        if let Some(spare) = queue.take_spare() {
            return Ok(spare);
        }
        let (sender, place) = oneshot::channel();
        queue.waiting.push_back(sender);
        if let Ok(runtime) = Handle::try_current()
            && queue.begins()
        {
            let (connect, config, queue) = (self.connect.clone(), config.clone(), self.queue.clone());
            drop(runtime.spawn(open((connect, config), self.patience, queue)));
        }
        Err(place)
    }
}

impl<C: Connect + 'static> Connect for Openings<C> {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<Opened, Error>> {
        let asked = self.ask(config);
        let config = config.clone();
        Box::pin(async move {
            match asked {
                Ok(spare) => Ok(spare),
                Err(place) => match place.await {
                    Ok(opened) => opened,
                    // The runtime that it was opened on has ended.
                    Err(_) => self.connect.connect(&config).await,
                },
            }
        })
    }
}

/// Opens connections as long as they are waited for.
async fn open<C: Connect>((connect, config): (Arc<C>, Config), patience: Duration, queue: Arc<Mutex<Queue>>) {
    loop {
        let opened = timeout(patience, connect.connect(&config)).await;
        let mut queue = lock(&queue);
        if let Ok(opened) = opened {
            queue.give(opened);
        }
        queue.under_way -= 1;
        if !queue.begins() {
            return;
        }
    }
}

/// Nothing panics while it holds the lock.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
