//! Updates of a call: hang up, cancel, or perform another document.

use std::sync::Arc;

use super::{Form, TwilioError, order};
use crate::call::{Call, Source, Status, life};
use crate::world::World;

/// Carries out an update. `Status` goes before everything else.
pub(super) fn change(world: &Arc<World>, call: &Arc<Call>, form: &Form) -> Result<(), TwilioError> {
    if let Some(wanted) = form.get("Status") {
        return hang_up(world, call, wanted);
    }
    let source = order::source(form)?;
    let status_callback = order::hook(form, "StatusCallback", "StatusCallbackMethod")?;
    let mut state = call.state();
    let is_over = state.status.is_final();
    let Some(source) = source else {
        return if is_over { Err(TwilioError::of(21220)) } else { Ok(()) };
    };
    if state.status != Status::InProgress {
        return Err(TwilioError::of(21220));
    }
    // Another status callback is taken only beside a URL.
    if let (Source::Url(_), Some(hook)) = (&source, status_callback) {
        state.status_callback = Some(hook);
    }
    state.redirect = Some(source);
    drop(state);
    call.wake();
    Ok(())
}

/// Hangs up. `canceled` leaves an answered call alone, and says nothing about it.
fn hang_up(world: &Arc<World>, call: &Arc<Call>, wanted: &str) -> Result<(), TwilioError> {
    let answered_too = match wanted {
        "canceled" => false,
        "completed" => true,
        _ => return Err(TwilioError::of(20422)),
    };
    let mut left_alone = false;
    let ended = life::end_as(world, call, "api", |status| {
        if status != Status::InProgress {
            return Some((Status::Canceled, 487));
        }
        left_alone = !answered_too;
        answered_too.then_some((Status::Completed, 200))
    });
    if ended || left_alone { Ok(()) } else { Err(TwilioError::of(21220)) }
}
