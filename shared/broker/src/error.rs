//! The errors, by what the caller can do.

use fleet_domain::FailureClass;

/// Why something other than publishing failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting can't be used. The start must stop.
    #[error(transparent)]
    Setting(#[from] fleet_settings::NotAllowed),
    /// There was no connection within the time.
    #[error("not connected to RabbitMQ")]
    NotConnected,
    /// RabbitMQ did not answer within the time.
    #[error("RabbitMQ did not answer in time")]
    TimedOut,
    /// RabbitMQ refused, or the connection broke.
    #[error("RabbitMQ refused or went away")]
    Broker(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(Box::new(error))
    }
}

/// Why a message was not confirmed. Except for the variants that say so, the message may have been stored
/// nevertheless: publish it again under the same message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Mandatory, and no queue takes it. Not stored.
    #[error("no queue takes this message")]
    Unroutable,
    /// The broker could not store it: its queue is full or lacks its quorum.
    #[error("the broker did not accept the message")]
    Nacked,
    /// No confirm came in time, or the connection broke again while waiting for it.
    #[error("the broker did not confirm the message in time")]
    TimedOut,
    /// There was no connection when the time was over.
    #[error("not connected to RabbitMQ")]
    NotConnected,
    /// The broker closed the channel over it: no permission for the exchange, or no such exchange.
    #[error("the broker refused the message")]
    Refused,
    /// A field is longer than AMQP allows (255 bytes). Not sent.
    #[error("`{0}` is longer than 255 bytes")]
    TooLong(&'static str),
}

impl PublishError {
    /// What may be done next.
    pub fn class(self) -> FailureClass {
        match self {
            Self::Unroutable | Self::Refused | Self::TooLong(_) => FailureClass::Permanent,
            Self::Nacked | Self::NotConnected => FailureClass::Transient,
            Self::TimedOut => FailureClass::MaybeHappened,
        }
    }

    /// The value of the metric's label `result`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unroutable => "unroutable",
            Self::Nacked => "nacked",
            Self::TimedOut => "timed_out",
            Self::NotConnected => "not_connected",
            Self::Refused => "refused",
            Self::TooLong(_) => "too_long",
        }
    }
}

/// Why work on a channel ended. Whatever it was, the channel is opened anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The broker or the connection failed.
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    /// A queue exists that was declared differently, by an earlier version or with another `broker.max_length`.
    #[error(
        "the queue `{queue}` exists with other arguments: stop the fleet once the queue is empty, delete it with \
         `rabbitmqctl delete_queue {queue}` and start again, or choose another `broker.namespace` ({source})"
    )]
    OtherArguments {
        /// Its full name.
        queue: String,
        /// What RabbitMQ says.
        source: lapin::Error,
    },
    /// The broker did not answer.
    #[error("no answer in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
    /// The broker cancelled the consumer, as it does when its queue is deleted.
    #[error("the consumer was cancelled by the broker")]
    Cancelled,
    /// The broker does not know the consumer any more although the channel is open.
    #[error("the broker has messages but delivers none")]
    Forgotten,
    /// The channel was closed while nothing was going on.
    #[error("the channel is closed")]
    Closed,
    /// All places for unconfirmed messages are taken and no confirm comes.
    #[error("no confirm has come for too long")]
    Stalled,
}
