//! Opens one connection to RabbitMQ. Keeping one open is the supervisor's work.

use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use tokio::time::timeout;
use tracing::warn;

use crate::{error::Fault, topology::Topology};

/// AMQP's reply code for an orderly end.
const REPLY_SUCCESS: u16 = 200;
/// The largest frame that the broker should let through, the smallest that lapin takes. It bounds a header, and so how deeply
/// its tables and lists stand in each other: lapin's parser recurses, and overflowing its thread's stack ends the process.
/// `fleet_lifecycle::deepen_stacks` makes the stacks that this bound needs.
const FRAME_MAX: u32 = 8192;
/// An orderly end is a courtesy to the broker's log, not worth a longer wait.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Connects, and declares `topology` if there is one.
pub(crate) async fn open(
    endpoint: &AMQPUri,
    name: &str,
    topology: Option<&Topology>,
    (connect_timeout, declare_timeout): (Duration, Duration),
) -> Result<Connection, Fault> {
    // No automatic recovery: it goes back to the same node only, and misses consumers that the broker has
    // cancelled.
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    // lapin ignores the URI's connection_timeout, and a frozen node accepts connections without answering.
    let connection =
        timeout(connect_timeout, Connection::connect_uri(endpoint.clone(), properties)).await??;
    let frame_max = connection.configuration().frame_max();
    if frame_max == 0 || frame_max > FRAME_MAX {
        warn!(
            connection = name,
            frame_max,
            "a header nested deeply enough stops this process: set `frame_max = {FRAME_MAX}` in rabbitmq.conf"
        );
    }
    if let Some(topology) = topology {
        timeout(declare_timeout, declare(&connection, topology)).await??;
    }
    Ok(connection)
}

async fn declare(connection: &Connection, topology: &Topology) -> Result<(), Fault> {
    let channel = connection.create_channel().await?;
    topology.declare(&channel).await?;
    Ok(channel.close(REPLY_SUCCESS, "declared".into()).await?)
}

/// Ends a connection; one that is broken is just dropped.
pub(crate) async fn close(connection: &Connection) {
    let _ = timeout(CLOSE_TIMEOUT, connection.close(REPLY_SUCCESS, "stopping".into())).await;
}

/// Ends a channel; one that is broken is just dropped.
pub(crate) async fn close_channel(channel: &Channel) {
    let _ = timeout(CLOSE_TIMEOUT, channel.close(REPLY_SUCCESS, "stopping".into())).await;
}
