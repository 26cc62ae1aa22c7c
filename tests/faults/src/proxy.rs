//! A TCP proxy that misbehaves on demand, between the fleet and its servers or in front of several gateways.
//! Its faults are those of toxiproxy that a job like ours meets. `door` accepts and refuses, `connection` carries
//! one connection, `conditions` says what is in force for it.

mod conditions;
mod connection;
mod door;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleet_lifecycle::Tasks;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};

use conditions::Conditions;
use door::Door;

/// What the proxy does to the bytes and connections it carries. Setting one replaces the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Everything passes. Ends a black hole: what waited in it passes now, in order.
    None,
    /// Each piece of data waits, both ways, for `delay` and up to `jitter` more. The order is kept.
    Latency {
        /// The least wait, one way.
        delay: Duration,
        /// The most that is added to it.
        jitter: Duration,
    },
    /// Nothing passes, not even the end of a connection. All connections stay open and new ones are accepted.
    BlackHole,
    /// What clients send passes; what is answered waits, and the end of a connection with it.
    HoldAnswers,
    /// The connections open at this moment are dead for good, without either side being told, as when a router
    /// forgets them. New ones pass.
    BlackHoleOld,
    /// All connections open at this moment are reset (RST), those in a black hole too. New ones pass.
    Reset,
    /// Each connection is reset before it passes more than `bytes`, both ways together, since it was opened.
    ResetAfter {
        /// What may pass.
        bytes: u64,
    },
    /// New connections are refused. Those already open pass.
    Refuse,
    /// Each connection passes at most so much in each direction.
    Bandwidth {
        /// At least 1.
        bytes_per_s: u32,
    },
    /// Data passes in pieces of at most `bytes` with a pause after each.
    Slice {
        /// At least 1.
        bytes: usize,
        /// The pause after a piece.
        pause: Duration,
    },
}

/// What the proxy has carried since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Of these, those that have not ended.
    pub open: u64,
    /// Bytes passed on to upstreams.
    pub bytes_up: u64,
    /// Bytes passed back to clients.
    pub bytes_down: u64,
}

/// Counters that the door and all connections add to.
#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    open: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    turn: AtomicU64,
}

/// A proxy on a loopback port of its own. When it is dropped, its port and all its connections are closed.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    conditions: watch::Sender<Conditions>,
    /// Whether the door is open; written by the door alone.
    accepting: watch::Receiver<bool>,
    /// One fault is set at a time, or one caller could wait for a state of the door that another has undone.
    setting: Mutex<()>,
    counters: Arc<Counters>,
}

impl Proxy {
    /// Listens on a free loopback port. Connections go to the `upstreams` in turn, and to the next one where one
    /// refuses; if all do, the connection is reset. A stop of `tasks` ends the proxy too.
    pub async fn start(upstreams: Vec<SocketAddr>, tasks: &Tasks) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let (conditions, seen) = watch::channel(Conditions::calm(upstreams));
        let (opened, accepting) = watch::channel(true);
        let door =
            Door { address, conditions: seen, opened, counters: Arc::clone(&counters), tasks: tasks.clone() };
        tasks.spawn_detail("fault proxy", door.keep(listener));
        Ok(Self { address, conditions, accepting, setting: Mutex::new(()), counters })
    }

    /// Where clients connect to. It stays the same through every fault.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts `fault` in force for all connections and those to come. When this returns, new connections meet it;
    /// open ones do as soon as their task is next polled.
    ///
    /// A connection counts as open from when the proxy has accepted it, which can be a moment after its client
    /// was told so by the kernel.
    pub async fn set(&self, fault: Fault) {
        let _setting = self.setting.lock().await;
        let accepted = self.counters.connections.load(Ordering::Acquire);
        self.conditions.send_modify(|conditions| conditions.set(fault, accepted));
        let open = fault != Fault::Refuse;
        let mut accepting = self.accepting.clone();
        // An error means that the tasks were stopped, and the door with them.
        let _stopped = accepting.wait_for(|accepting| *accepting == open).await;
    }

    /// Sends new connections to these upstreams from here on; open ones stay where they are.
    pub fn upstreams(&self, upstreams: Vec<SocketAddr>) {
        self.conditions.send_modify(|conditions| conditions.upstreams = upstreams.into());
    }

    /// What has passed so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Counts {
            connections: read(&self.counters.connections),
            open: read(&self.counters.open),
            bytes_up: read(&self.counters.bytes_up),
            bytes_down: read(&self.counters.bytes_down),
        }
    }
}
