//! Status callbacks, and the parameters that every request about a call carries.
//!
//! Each callback is a request of its own, so they may overtake each other, as Twilio's do.

use std::sync::Arc;
use std::time::Duration;

use super::webhook::{Hook, Outcome, Parameters};
use super::{Call, Event, State};
use crate::dates;
use crate::faults::CallbackFault;
use crate::ids;
use crate::journal::Fact;
use crate::world::World;

/// A callback with everything it says, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    hook: Hook,
    event: Event,
    sequence: u32,
    parameters: Parameters,
    /// The same however often it is sent.
    idempotency_token: String,
}

/// Fires the callback of an event, if the customer has asked for it. The caller has changed the state already.
pub(crate) fn fire(world: &Arc<World>, call: &Arc<Call>, event: Event) {
    let mut state = call.state();
    let Some(hook) = state.status_callback.clone() else { return };
    if !call.order.events.contains(&event) {
        return;
    }
    let sequence = state.fired;
    state.fired += 1;
    let parameters = callback_parameters(world, call, &state, event, sequence);
    let idempotency_token = ids::uuid().to_string();
    let callback = Callback { hook, event, sequence, parameters, idempotency_token };
    let earlier = state.kept_back.take();
    let fault = world.faults.at_callback(event);
    if fault == Some(CallbackFault::Reordered) && event != Event::Completed {
        state.kept_back = Some(callback);
        return;
    }
    drop(state);
    send(world, call, &callback, fault);
    if let Some(earlier) = earlier {
        send(world, call, &earlier, Some(CallbackFault::Reordered));
    }
}

/// Sends a callback, or does to it what the fault says.
fn send(world: &Arc<World>, call: &Arc<Call>, callback: &Callback, fault: Option<CallbackFault>) {
    let (times, wait) = match fault {
        Some(CallbackFault::Lost) => (0, Duration::ZERO),
        Some(CallbackFault::Late(delay)) => (1, delay),
        Some(CallbackFault::Doubled) => (2, Duration::ZERO),
        // Held until its successor was sent; this much keeps it behind on the wire too.
        Some(CallbackFault::Reordered) => (1, Duration::from_millis(500)),
        None => (1, Duration::ZERO),
    };
    if times == 0 {
        record(world, call, callback, None, fault);
    }
    for _ in 0..times {
        let (world, call, callback) = (Arc::clone(world), Arc::clone(call), callback.clone());
        let tasks = world.tasks.clone();
        tasks.spawn_detail("status callback", async move {
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(world.time.real(wait)) => {}
                    () = world.stop.soft() => return,
                }
            }
            let outcome = {
                let Callback { hook, parameters, idempotency_token, .. } = &callback;
                world.webhooks.send_as(hook, parameters, idempotency_token).await
            };
            record(&world, &call, &callback, Some(&outcome), fault);
        });
    }
}

fn record(
    world: &World,
    call: &Call,
    callback: &Callback,
    outcome: Option<&Outcome>,
    fault: Option<CallbackFault>,
) {
    let status = outcome.and_then(|outcome| outcome.result.as_ref().ok()).map(|reply| reply.status);
    let error = outcome.and_then(|outcome| outcome.result.as_ref().err()).map(|trouble| trouble.word());
    let label = if status.is_some_and(|status| status < 300) { "delivered" } else { "undelivered" };
    world.metrics.callbacks.with_label_values(&[callback.event.word(), label]).inc();
    world.journal.record(&Fact::Callback {
        sid: &call.sid,
        event: callback.event.word(),
        sequence: callback.sequence,
        status,
        tries: outcome.map_or(0, |outcome| outcome.tries),
        error,
        fault: fault.map(CallbackFault::word),
    });
}

fn callback_parameters(world: &World, call: &Call, state: &State, event: Event, sequence: u32) -> Parameters {
    let status = match event {
        // The one word that the Call resource never shows.
        Event::Initiated => "initiated",
        Event::Ringing | Event::Answered | Event::Completed => state.status.word(),
    };
    let mut parameters = call_parameters(&world.account_sid, call, status);
    parameters.extend([
        ("Timestamp", dates::rfc2822(world.time.now_micros())),
        ("CallbackSource", "call-progress-events".to_owned()),
        ("SequenceNumber", sequence.to_string()),
    ]);
    match event {
        Event::Initiated => {}
        Event::Ringing | Event::Answered => parameters
            .extend([("StirStatus", "C".to_owned()), ("StirVerstat", "TN-Validation-Passed-C".to_owned())]),
        Event::Completed => {
            parameters.push(("CallDuration", state.seconds.to_string()));
            parameters.extend(state.billed_minutes().map(|minutes| ("Duration", minutes.to_string())));
            parameters.extend(state.sip.map(|code| ("SipResponseCode", code.to_string())));
        }
    }
    parameters.extend(state.answered_by.map(|by| ("AnsweredBy", by.to_owned())));
    parameters
}

/// What every request about a call says.
pub(crate) fn call_parameters(account_sid: &str, call: &Call, status: &str) -> Parameters {
    let (to, from) = (&call.order.to, &call.order.from);
    let mut parameters = vec![
        ("CallSid", call.sid.clone()),
        ("AccountSid", account_sid.to_owned()),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("From", from.clone()),
        ("To", to.clone()),
        ("Caller", from.clone()),
        ("Called", to.clone()),
        ("Direction", "outbound-api".to_owned()),
        ("CallStatus", status.to_owned()),
    ];
    for (names, number) in [
        (["FromCity", "FromState", "FromZip", "FromCountry"], from),
        (["ToCity", "ToState", "ToZip", "ToCountry"], to),
        (["CallerCity", "CallerState", "CallerZip", "CallerCountry"], from),
        (["CalledCity", "CalledState", "CalledZip", "CalledCountry"], to),
    ] {
        let country = if number.starts_with("+1") { "US" } else { "" };
        parameters.extend(names.into_iter().zip(["", "", "", country].map(str::to_owned)));
    }
    parameters
}
