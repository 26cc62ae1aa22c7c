//! `fleetctl queues`.

use fleet_broker::{Queue, QueueDepth};

use crate::error::Error;
use crate::exit::Exit;
use crate::print::{Screen, Style};
use crate::session::{Session, broker_error};
use crate::settings::Sections;
use crate::table::{self, Cell};

pub(super) async fn run(sections: &Sections, screen: &mut Screen) -> Result<Exit, Error> {
    let session = Session::new();
    let broker = session.broker(sections)?;
    let found = broker.queue_depths().await;
    drop(broker);
    session.end().await;
    let rows: Vec<Vec<Cell>> = found.map_err(broker_error)?.iter().map(cells).collect();
    table::print(screen, &["queue", "messages", "consumers"], &rows)?;
    Ok(Exit::Done)
}

fn cells(depth: &QueueDepth) -> Vec<Cell> {
    let count = |number: u32, wrong: bool| {
        Cell::number(number.to_string()).styled(if wrong { Style::Bad } else { Style::Plain })
    };
    vec![
        Cell::text(depth.queue.name()),
        count(depth.ready, depth.ready > 0 && matches!(depth.queue, Queue::Dead | Queue::Parked)),
        count(depth.consumers, depth.consumers == 0 && is_consumed(depth.queue)),
    ]
}

/// Whether a running fleet reads the queue.
const fn is_consumed(queue: Queue) -> bool {
    match queue {
        Queue::ChallengeVoice
        | Queue::ChallengePush
        | Queue::ChallengeDefault
        | Queue::ChallengeTotp
        | Queue::ChallengeCode
        | Queue::Control
        | Queue::VoiceDial
        | Queue::VoiceHangup
        | Queue::PushSend
        | Queue::Enrollment
        | Queue::TestEnded
        | Queue::Dead => true,
        Queue::Delay(_) | Queue::Parked => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_nobody_reads_and_a_letter_that_waits_are_marked() {
        let depth = |queue, ready, consumers| QueueDepth { queue, ready, consumers };
        let rows =
            [depth(Queue::VoiceDial, 12, 0), depth(Queue::Parked, 3, 0), depth(Queue::ChallengePush, 7, 2)];
        let lines = table::lines(&["queue", "messages", "consumers"], &rows.each_ref().map(cells), true);
        assert_eq!(
            lines[1..],
            [
                "voice.dial            12          \u{1b}[31m0\u{1b}[0m",
                "parked                 \u{1b}[31m3\u{1b}[0m          0",
                "challenge.push         7          2",
            ]
        );
    }
}
