//! One publishing channel: sends what comes in, and tells each sender what the broker made of its message.
//!
//! A single task owns the channel. `lapin` numbers a message before it queues its frames, so two tasks that
//! publish on one channel can get each other's confirms. It also gives a message that the broker returned to
//! whichever confirm is settled next, which need not be the one of that message: `Returns` puts this right.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation, Connection,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tracing::warn;

use crate::{
    backoff::Backoff, error::Fault, publish::Outgoing, settings::Settings, supervisor::Link,
    topology::Topology,
};

/// Messages of one channel that may wait for their confirms.
const UNCONFIRMED_MAX: usize = 2048;

/// A message and where to tell its sender what became of it.
pub(crate) struct Request {
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Stored by every queue that takes it.
    Confirmed,
    /// No queue takes it.
    Unroutable,
    /// A queue did not store it.
    Nacked,
    /// The broker closed the channel, over this message or a neighbour.
    Refused,
    /// The channel broke before the confirm.
    Lost,
    /// This process has stopped publishing.
    Stopped,
}

/// One publishing channel, opened anew whenever it breaks.
pub(crate) struct Lane {
    link: Link,
    topology: Arc<Topology>,
    connect_timeout: Duration,
    stall_timeout: Duration,
}

impl Lane {
    pub(crate) fn new(settings: &Settings, link: Link, topology: Arc<Topology>) -> Self {
        Self {
            link,
            topology,
            connect_timeout: settings.connect_timeout,
            stall_timeout: settings.confirm_timeout * 2,
        }
    }

    pub(crate) async fn run(self, mut inbox: mpsc::Receiver<Request>) -> Infallible {
        let mut backoff = Backoff::new();
        // Taken from the inbox and not sent yet: an idle channel that breaks is noticed only now, and the next
        // one sends them.
        let mut incoming = Vec::new();
        loop {
            let connection = self.link.connection().await;
            let opened = Instant::now();
            match self.session(&connection, &mut inbox, &mut incoming).await {
                Ok(()) => return std::future::pending().await,
                Err(fault) => warn!(error = %fault, "publishing channel broke"),
            }
            self.link.doubt();
            backoff.pause(opened.elapsed()).await;
        }
    }

    /// Publishes until the channel breaks, or until no publisher is left.
    async fn session(
        &self,
        connection: &Connection,
        inbox: &mut mpsc::Receiver<Request>,
        incoming: &mut Vec<Request>,
    ) -> Result<(), Fault> {
        let channel = timeout(self.connect_timeout, open(connection)).await??;
        let mut unconfirmed = FuturesUnordered::new();
        let mut returns = Returns::default();
        let mut last_progress = Instant::now();
        loop {
            if !incoming.is_empty() {
                if !channel.status().connected() {
                    return Err(Fault::Closed);
                }
                // Those whose senders have given up are not sent any more.
                let wanted = incoming.drain(..).filter(|request| !request.answer.is_closed());
                unconfirmed.extend(wanted.map(|request| self.transmit(&channel, request)));
            }
            let room = UNCONFIRMED_MAX.saturating_sub(unconfirmed.len());
            tokio::select! {
                biased;
                Some(first) = unconfirmed.next(), if !unconfirmed.is_empty() => {
                    let mut settled = vec![first];
                    while let Some(Some(next)) = unconfirmed.next().now_or_never() {
                        settled.push(next);
                    }
                    returns.settle(settled, &self.topology)?;
                    last_progress = Instant::now();
                }
                count = inbox.recv_many(incoming, room), if room > 0 => {
                    if count == 0 {
                        return Ok(());
                    }
                }
                () = sleep_until(last_progress + self.stall_timeout), if room == 0 => {
                    if !connection.status().blocked() {
                        return Err(Fault::Stalled);
                    }
                    last_progress = Instant::now();
                }
            }
        }
    }

    /// Sends a message when first polled, then waits for its confirm.
    async fn transmit(&self, channel: &Channel, request: Request) -> Settled {
        let Outgoing { exchange, routing_key, mandatory, body, properties } = &*request.outgoing;
        let options = BasicPublishOptions {
            mandatory: *mandatory,
            immediate: false, // RabbitMQ has no such thing
        };
        let (exchange, key) = (self.topology.exchange(*exchange), routing_key.clone());
        let confirmation = match channel.basic_publish(exchange, key, options, body, properties.clone()).await
        {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        Settled { request, confirmation }
    }
}

async fn open(connection: &Connection) -> Result<Channel, lapin::Error> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions { nowait: false }).await?;
    Ok(channel)
}

struct Settled {
    request: Request,
    confirmation: lapin::Result<Confirmation>,
}

/// What tells one message of a channel from the others. Two that are equal in this are routed alike.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    exchange: ShortString,
    routing_key: ShortString,
    message_id: Option<ShortString>,
}

/// Messages that the broker returned and whose own confirm is not settled yet.
///
/// The broker returns a message before it confirms it, and futures that were woken first are polled first. So
/// by the time a confirm is looked at, its message's return has come out of `lapin`, with this confirm or with
/// an earlier one.
#[derive(Default)]
struct Returns {
    marks: Vec<Mark>,
}

impl Returns {
    /// Tells each sender what became of its message. Fails if the channel has broken.
    fn settle(&mut self, settled: Vec<Settled>, topology: &Topology) -> Result<(), Fault> {
        let mut confirmed = Vec::with_capacity(settled.len());
        let mut broken = None;
        for Settled { request, confirmation } in settled {
            match confirmation {
                Ok(Confirmation::Ack(returned)) => {
                    self.note(returned);
                    confirmed.push((request, Answer::Confirmed));
                }
                Ok(Confirmation::Nack(returned)) => {
                    self.note(returned);
                    confirmed.push((request, Answer::Nacked));
                }
                // The channel confirms everything; without that nothing is known.
                Ok(Confirmation::NotRequested) => answer(request, Answer::Lost),
                Err(error) => {
                    answer(request, if error.is_amqp_soft_error() { Answer::Refused } else { Answer::Lost });
                    broken = Some(error);
                }
            }
        }
        for (request, outcome) in confirmed {
            let outcome = if self.claim(&request.outgoing, topology) { Answer::Unroutable } else { outcome };
            answer(request, outcome);
        }
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    fn note(&mut self, returned: Option<BasicReturnMessage>) {
        if let Some(BasicReturnMessage { delivery, .. }) = returned {
            self.marks.push(Mark {
                exchange: delivery.exchange,
                routing_key: delivery.routing_key,
                message_id: delivery.properties.message_id().clone(),
            });
        }
    }

    /// Whether the broker returned this message.
    fn claim(&mut self, outgoing: &Outgoing, topology: &Topology) -> bool {
        // Returns are rare; most of the time there is nothing to compare.
        if self.marks.is_empty() {
            return false;
        }
        let own = Mark {
            exchange: topology.exchange(outgoing.exchange),
            routing_key: outgoing.routing_key.clone(),
            message_id: outgoing.properties.message_id().clone(),
        };
        match self.marks.iter().position(|mark| *mark == own) {
            Some(place) => {
                self.marks.swap_remove(place);
                true
            }
            None => false,
        }
    }
}

fn answer(request: Request, answer: Answer) {
    // A sender that has given up no longer listens.
    let _ = request.answer.send(answer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Exchange;
    use lapin::BasicProperties;

    fn outgoing(message_id: &str) -> Arc<Outgoing> {
        Arc::new(Outgoing {
            exchange: Exchange::Requests,
            routing_key: "challenge.totp".into(),
            mandatory: true,
            body: "{}".into(),
            properties: BasicProperties::default().with_message_id(message_id.into()),
        })
    }

    fn settled(message_id: &str, confirmation: Confirmation) -> (Settled, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let request = Request { outgoing: outgoing(message_id), answer };
        (Settled { request, confirmation: Ok(confirmation) }, answered)
    }

    #[test]
    fn a_returned_message_is_told_to_its_own_sender() {
        let topology = Topology::new("", 1000);
        let mut returns = Returns::default();
        // As if `lapin` had given the return of `lost` to the confirm of a neighbour.
        returns.marks.push(Mark {
            exchange: "mfa.requests".into(),
            routing_key: "challenge.totp".into(),
            message_id: Some("lost".into()),
        });
        let (stored, mut stored_answer) = settled("stored", Confirmation::Ack(None));
        let (lost, mut lost_answer) = settled("lost", Confirmation::Ack(None));
        returns.settle(vec![stored, lost], &topology).unwrap();
        assert_eq!(stored_answer.try_recv(), Ok(Answer::Confirmed));
        assert_eq!(lost_answer.try_recv(), Ok(Answer::Unroutable));
        assert!(returns.marks.is_empty());
    }

    #[test]
    fn a_nack_is_no_confirm() {
        let (nacked, mut answer) = settled("full", Confirmation::Nack(None));
        Returns::default().settle(vec![nacked], &Topology::new("", 1000)).unwrap();
        assert_eq!(answer.try_recv(), Ok(Answer::Nacked));
    }
}
