//! The life of a call: queued, initiated, ringing, in progress, and one of five ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::conversation::Conversation;
use super::line::{Interrupt, Line};
use super::queue::Ticket;
use super::{Call, Event, Order, Source, Status, callbacks};
use crate::cast::{BlockedBy, Reach, Script};
use crate::journal::Fact;
use crate::world::World;

/// How long a call may wait in the queue: Twilio cancels older ones.
const LONGEST_QUEUE: Duration = Duration::from_hours(24);

/// How long a machine records, at most.
const RECORDING: Duration = Duration::from_mins(2);

/// Accepts an order: from here on the call lives by itself.
pub(crate) fn place(world: &Arc<World>, order: Order) -> Arc<Call> {
    let ticket = world.queue.ticket(Instant::now());
    let call = Arc::new(Call::new(order, world.time.now_micros(), ticket.estimate));
    world.journal.record(&Fact::CallCreated {
        sid: &call.sid,
        to: &call.order.to,
        from: &call.order.from,
        url: match &call.order.source {
            Source::Url(hook) => Some(&hook.url),
            Source::Text(_) => None,
        },
        callback: call.order.status_callback.as_ref().map(|hook| hook.url.as_str()),
        queue_ms: u64::try_from(call.queue_time.as_millis()).unwrap_or(u64::MAX),
    });
    world.calls.add(Arc::clone(&call));
    let line = Line::new(Arc::clone(world), Arc::clone(&call));
    let turn = world.queue.wait(&call);
    world.tasks.spawn_detail("call", async move {
        // An interrupt means that the end has been dealt with where it came from.
        if let Ok(true) = wait_in_queue(&line, turn, ticket).await {
            let _ = live(line).await;
        }
    });
    call
}

/// Waits for the call's turn; `false` when it has waited too long and was canceled.
async fn wait_in_queue(
    line: &Line,
    turn: impl Future<Output = ()>,
    _place: Ticket,
) -> Result<bool, Interrupt> {
    let too_long = tokio::time::sleep_until(line.world.time.after(LONGEST_QUEUE));
    let waiting = async {
        tokio::select! {
            biased;
            () = turn => true,
            () = too_long => false,
        }
    };
    let has_started = line.during(waiting).await?;
    if !has_started {
        end(&line.world, &line.call, Status::Canceled, 487, "queue");
    }
    Ok(has_started)
}

/// Starts a call whose turn it is, unless it has ended in the queue.
pub(super) fn start(world: &Arc<World>, call: &Arc<Call>) -> bool {
    let now = world.time.now_micros();
    {
        let mut state = call.state();
        if state.status.is_final() {
            return false;
        }
        state.started = Some(now);
    }
    let queued_ms = u64::try_from((now - call.created) / 1_000).unwrap_or(0);
    world.journal.record(&Fact::Initiated { sid: &call.sid, queued_ms });
    callbacks::fire(world, call, Event::Initiated);
    true
}

/// Ends a call, once: whoever comes first decides how. Returns whether this was the end.
pub(crate) fn end(world: &Arc<World>, call: &Arc<Call>, status: Status, sip: u16, by: &'static str) -> bool {
    end_as(world, call, by, |_| Some((status, sip)))
}

/// Ends a call as `decide` wants for the status that it has at that moment; `None` leaves it alone.
pub(crate) fn end_as(
    world: &Arc<World>,
    call: &Arc<Call>,
    by: &'static str,
    decide: impl FnOnce(Status) -> Option<(Status, u16)>,
) -> bool {
    let now = world.time.now_micros();
    let (status, sip, seconds) = {
        let mut state = call.state();
        if state.status.is_final() {
            return false;
        }
        let Some((status, sip)) = decide(state.status) else { return false };
        let seconds = state.answered.map_or(0, |answered| world.time.seconds_between(answered, now));
        state.status = status;
        state.ended = Some(now);
        state.seconds = seconds;
        state.sip = Some(sip);
        state.ended_by = Some(by);
        (status, Some(sip), seconds)
    };
    world.journal.record(&Fact::Ended { sid: &call.sid, status, sip, seconds, by });
    world.metrics.calls.with_label_values(&[status.word()]).inc();
    callbacks::fire(world, call, Event::Completed);
    call.wake();
    true
}

async fn live(mut line: Line) -> Result<(), Interrupt> {
    let (world, call) = (Arc::clone(&line.world), Arc::clone(&line.call));
    line.pass(world.post_dial).await?;
    let script = world.cast.person(&call.order.to);
    let failure = match (script.reach, script.blocked_by(&call.order.from)) {
        (_, Some(BlockedBy::Network(sip, after))) => Some((sip, after)),
        (Reach::Fails(sip), Some(BlockedBy::Twilio(_)) | None) => Some((sip, Duration::ZERO)),
        (
            Reach::Answers(_) | Reach::Voicemail(_) | Reach::Rejects(_) | Reach::NoAnswer,
            Some(BlockedBy::Twilio(_)) | None,
        ) => None,
    };
    if let Some((sip, after)) = failure {
        line.pass(after).await?;
        end(&world, &call, Status::of_sip(sip), sip, "network");
        return Ok(());
    }
    if !advance(&world, &call, Status::Ringing) {
        return Ok(());
    }
    let is_machine = ring(&line, &script).await?;
    if !advance(&world, &call, Status::InProgress) {
        return Ok(());
    }
    line.hang_up_at(world.time.after(call.order.time_limit), "time limit");
    if let Some(after) = script.hangs_up.or(is_machine.then_some(RECORDING)) {
        line.hang_up_at(world.time.after(after), "callee");
    }
    let keys = if is_machine { Vec::new() } else { script.presses.clone() };
    Conversation::new(line, keys, script.think).run(is_machine).await
}

/// Rings until somebody or something picks up, and tells whether it is a machine.
async fn ring(line: &Line, script: &Script) -> Result<bool, Interrupt> {
    let timeout = line.call.order.ring_timeout;
    let (after, is_machine) = match script.reach {
        Reach::Answers(after) => (after, false),
        Reach::Voicemail(after) => (after, true),
        Reach::Rejects(after) if after <= timeout => {
            line.pass(after).await?;
            end(&line.world, &line.call, Status::of_sip(603), 603, "callee");
            return Err(Interrupt::Over);
        }
        Reach::Rejects(_) | Reach::NoAnswer | Reach::Fails(_) => (Duration::MAX, false),
    };
    if after <= timeout {
        line.pass(after).await?;
        return Ok(is_machine);
    }
    line.pass(timeout).await?;
    end(&line.world, &line.call, Status::NoAnswer, 487, "ring timeout");
    Err(Interrupt::Over)
}

/// Moves a call on and tells the customer, unless it has ended meanwhile.
fn advance(world: &Arc<World>, call: &Arc<Call>, status: Status) -> bool {
    let answered = status == Status::InProgress;
    {
        let mut state = call.state();
        if state.status.is_final() {
            return false;
        }
        state.status = status;
        if answered {
            state.answered = Some(world.time.now_micros());
        }
    }
    let sid = call.sid.as_str();
    world.journal.record(&if answered { Fact::Answered { sid } } else { Fact::Ringing { sid } });
    callbacks::fire(world, call, if answered { Event::Answered } else { Event::Ringing });
    true
}
