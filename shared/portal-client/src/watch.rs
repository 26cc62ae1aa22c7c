//! The changes of one challenge: heard where possible, looked up where not.

use std::time::Duration;

use fleet_contracts::Outcome;
use fleet_domain::ChallengeId;
use fleet_outcomes::{Notice, Notices};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::{Error, PortalClient, outcome::is_final};

/// Between two looks while changes are heard: for the day on which a connection is dead and nobody has noticed.
const LOOK_WHILE_LISTENING: Duration = Duration::from_secs(5);

/// Between two looks while nothing is known yet.
const LOOK_FOR_FIRST: Duration = Duration::from_secs(1);

/// The changes of one challenge, up to its end.
pub struct Watch {
    client: PortalClient,
    id: ChallengeId,
    notices: Notices,
    hearing: Hearing,
    /// The newest that was given out.
    seq: u32,
    poll_after: Duration,
    look_at: Instant,
    ended: bool,
}

/// Whether changes are heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hearing {
    NotYet,
    /// As far as is known.
    Yes,
    /// Not allowed to; looking is left.
    Never,
}

/// What is to be done next.
enum Turn {
    Look,
    Hear(String),
    Wait,
}

impl Watch {
    pub(crate) fn new(client: PortalClient, notices: Notices, id: ChallengeId) -> Self {
        Self {
            client,
            id,
            notices,
            hearing: Hearing::NotYet,
            seq: 0,
            poll_after: LOOK_FOR_FIRST,
            // The first look follows when changes are heard, which is sooner as a rule.
            look_at: Instant::now() + LOOK_FOR_FIRST,
            ended: false,
        }
    }

    /// The next newer outcome; `None` after the final one. Changes that follow each other fast may be left out, the final one never.
    ///
    /// An outage of Redis is waited out. An error means that looking further is of no use, or that the outcome is forged.
    pub async fn next(&mut self) -> Option<Result<Outcome, Error>> {
        while !self.ended {
            let found = match self.turn().await {
                Turn::Look => self.look().await,
                Turn::Hear(json) => self.hear(&json).await,
                Turn::Wait => continue,
            };
            match found {
                Ok(Some(outcome)) => return Some(Ok(outcome)),
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Outcome, Error>> + Send {
        stream::unfold(self, async |mut watch| watch.next().await.map(|outcome| (outcome, watch)))
    }

    async fn turn(&mut self) -> Turn {
        tokio::select! {
            notice = self.notices.next(), if self.hearing != Hearing::Never => match notice {
                Some(Notice::Listening) => {
                    self.hearing = Hearing::Yes;
                    Turn::Look
                }
                Some(Notice::Document(json)) => Turn::Hear(json),
                Some(Notice::Refused(_)) | None => {
                    debug!(challenge = %self.id, "outcomes can't be listened to, only looked up");
                    self.hearing = Hearing::Never;
                    Turn::Wait
                }
            },
            () = sleep_until(self.look_at) => Turn::Look,
        }
    }

    /// What was published is good for showing how far it has come. The end needs its signature, so it is looked up.
    async fn hear(&mut self, json: &str) -> Result<Option<Outcome>, Error> {
        match self.client.authentic.read_unsigned(self.id, json) {
            Ok(outcome) if !is_final(&outcome) => Ok(self.take(outcome)),
            Ok(_) | Err(_) => self.look().await,
        }
    }

    async fn look(&mut self) -> Result<Option<Outcome>, Error> {
        let found = self.client.outcome(self.id).await;
        self.look_later();
        match found {
            Ok(found) => Ok(found.and_then(|outcome| self.take(outcome))),
            Err(Error::Unreadable(fleet_outcomes::Error::Unavailable)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives out what is newer. The end always is, lest somebody who can only publish hides it behind a high `seq`.
    fn take(&mut self, outcome: Outcome) -> Option<Outcome> {
        self.ended = is_final(&outcome);
        if !self.ended && outcome.seq <= self.seq {
            return None;
        }
        self.seq = outcome.seq;
        self.poll_after = Duration::from_millis(outcome.poll_after_ms.into());
        self.look_later();
        Some(outcome)
    }

    fn look_later(&mut self) {
        let pause = match self.hearing {
            Hearing::Yes => LOOK_WHILE_LISTENING,
            Hearing::NotYet | Hearing::Never => self.poll_after,
        };
        self.look_at = Instant::now() + pause;
    }
}
