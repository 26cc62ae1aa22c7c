//! The listening socket: it accepts, and closes and opens again where connections are to be refused.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fleet_lifecycle::Tasks;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Counters;
use super::conditions::{Conditions, View};
use super::connection::Connection;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Wait before another try where the machine is out of file descriptors or the port is not free.
const RETRY: Duration = Duration::from_millis(10);

/// The one listening socket of a proxy.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) conditions: watch::Receiver<Conditions>,
    pub(super) opened: watch::Sender<bool>,
    pub(super) counters: Arc<Counters>,
    pub(super) tasks: Tasks,
}

impl Door {
    /// Serves until the proxy is dropped or its tasks are stopped.
    pub(super) async fn keep(self, listener: TcpListener) {
        let stop = self.tasks.stop().clone();
        tokio::select! {
            () = self.serve(listener) => {}
            () = stop.soft() => {}
        }
    }

    async fn serve(&self, mut listener: TcpListener) {
        let mut conditions = self.conditions.clone();
        loop {
            tokio::select! {
                refuse = conditions.wait_for(Conditions::refuses) => if refuse.is_err() { return },
                () = self.accept(&listener) => continue,
            }
            drop(listener);
            let held = self.hold().await;
            self.opened.send_replace(false);
            if conditions.wait_for(|conditions| !conditions.refuses()).await.is_err() {
                return;
            }
            listener = self.listen(held).await;
            self.opened.send_replace(true);
        }
    }

    /// Accepts one connection and starts it.
    async fn accept(&self, listener: &TcpListener) {
        let Ok((client, _)) = listener.accept().await else { return sleep(RETRY).await };
        let number = self.counters.connections.fetch_add(1, Ordering::AcqRel);
        let view = View::new(self.conditions.clone(), number);
        let connection = Connection { number, view, counters: Arc::clone(&self.counters) };
        let stop = self.tasks.stop().clone();
        self.counters.open.fetch_add(1, Ordering::AcqRel);
        let counters = Arc::clone(&self.counters);
        self.tasks.spawn_detail("fault proxy connection", async move {
            tokio::select! {
                () = connection.carry(client) => {}
                () = stop.soft() => {}
            }
            counters.open.fetch_sub(1, Ordering::AcqRel);
        });
    }

    /// Keeps the port: a socket that is bound but does not listen refuses, and nobody else gets its port.
    async fn hold(&self) -> TcpSocket {
        loop {
            match self.bind() {
                Ok(socket) => return socket,
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    async fn listen(&self, mut held: TcpSocket) -> TcpListener {
        loop {
            match held.listen(BACKLOG) {
                Ok(listener) => return listener,
                Err(_) => held = self.hold().await,
            }
        }
    }

    fn bind(&self) -> io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        // Connections of the closed listener still use the port.
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        Ok(socket)
    }
}
