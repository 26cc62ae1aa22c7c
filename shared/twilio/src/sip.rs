//! Why a call failed, from its final status and the SIP response of the far end.
//!
//! Sources: RFC 3261 (most codes), RFC 3398 section 7.2.4.1 (what a SIP code stands for behind an ISDN gateway), RFC 5079 (433),
//! RFC 8197 (607), RFC 8688 (608), RFC 8224 section 6.2.2 (428, 436–438), Twilio's voice webhook documentation
//! (`SipResponseCode`: 487 when the ring time is over, 404 for a number that can't be reached).
//!
//! A call whose caller ID was rejected leads to one with the next caller ID of the plan (`fleet-domain`).

use fleet_domain::Reason;

use crate::status::CallStatus;

/// Why the call failed; `None` while it is alive, and when it completed: then the dialogue decides.
pub fn end_reason(status: CallStatus, sip: Option<u16>) -> Option<Reason> {
    let by_status = match status {
        CallStatus::Queued
        | CallStatus::Initiated
        | CallStatus::Ringing
        | CallStatus::InProgress
        | CallStatus::Completed => return None,
        CallStatus::Busy => Reason::Busy,
        CallStatus::NoAnswer => Reason::NoAnswer,
        // What the fleet cancels itself has its reason already; what the carrier cancels never left its queue.
        CallStatus::Failed | CallStatus::Canceled => Reason::CarrierError,
    };
    Some(sip.and_then(|code| reason_by_sip(status, code)).unwrap_or(by_status))
}

/// `None` where the code says no more than the status does.
fn reason_by_sip(status: CallStatus, code: u16) -> Option<Reason> {
    match code {
        // Forbidden: carriers refuse an unverified or blocked caller ID with it. 428 and 436 to 438: the caller's identity
        // (STIR) is missing or bad. 433: the callee takes no withheld numbers. 607: calls from this number are unwanted, as a
        // person once said. 608: an analytics engine refused the caller.
        403 | 428 | 433 | 436..=438 | 607 | 608 => Some(Reason::CarrierRejectedCallerId),
        // Not found, gone, address incomplete, does not exist anywhere.
        404 | 410 | 484 | 604 => Some(Reason::InvalidNumber),
        // Behind a gateway they also stand for "no answer"; only a call that failed outright found nobody there.
        408 | 480 => (status == CallStatus::Failed).then_some(Reason::Unreachable),
        486 | 600 => Some(Reason::Busy),
        // Request terminated: the ring time is over, or the fleet has canceled.
        487 => (status != CallStatus::Canceled).then_some(Reason::NoAnswer),
        // Decline: by the person, or by a network, which is quicker. The rules of a challenge know how long it took.
        603 => Some(Reason::RejectedCall),
        // Media can't be agreed on, and every fault of a server on the way.
        488 | 500..=599 | 606 => Some(Reason::CarrierError),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_ends_code_decides_before_the_status() {
        use CallStatus::{Busy, Canceled, Failed, NoAnswer};
        for (status, sip, reason) in [
            // No code, or one that says nothing more.
            (Busy, None, Reason::Busy),
            (NoAnswer, None, Reason::NoAnswer),
            (Failed, None, Reason::CarrierError),
            (Canceled, None, Reason::CarrierError),
            (Failed, Some(0), Reason::CarrierError),
            (Failed, Some(200), Reason::CarrierError),
            (NoAnswer, Some(200), Reason::NoAnswer),
            (Busy, Some(499), Reason::Busy),
            // The callee.
            (Busy, Some(486), Reason::Busy),
            (Failed, Some(486), Reason::Busy),
            (NoAnswer, Some(486), Reason::Busy),
            (Busy, Some(600), Reason::Busy),
            (Failed, Some(600), Reason::Busy),
            (NoAnswer, Some(487), Reason::NoAnswer),
            (Failed, Some(487), Reason::NoAnswer),
            (Canceled, Some(487), Reason::CarrierError),
            (NoAnswer, Some(480), Reason::NoAnswer),
            (NoAnswer, Some(408), Reason::NoAnswer),
            (Failed, Some(480), Reason::Unreachable),
            (Failed, Some(408), Reason::Unreachable),
            (Busy, Some(603), Reason::RejectedCall),
            (NoAnswer, Some(603), Reason::RejectedCall),
            (Failed, Some(603), Reason::RejectedCall),
            // The number.
            (Failed, Some(404), Reason::InvalidNumber),
            (NoAnswer, Some(404), Reason::InvalidNumber),
            (Failed, Some(410), Reason::InvalidNumber),
            (Failed, Some(484), Reason::InvalidNumber),
            (Failed, Some(604), Reason::InvalidNumber),
            // The caller ID.
            (Failed, Some(403), Reason::CarrierRejectedCallerId),
            (Failed, Some(428), Reason::CarrierRejectedCallerId),
            (Failed, Some(433), Reason::CarrierRejectedCallerId),
            (Failed, Some(436), Reason::CarrierRejectedCallerId),
            (Failed, Some(437), Reason::CarrierRejectedCallerId),
            (Failed, Some(438), Reason::CarrierRejectedCallerId),
            (NoAnswer, Some(607), Reason::CarrierRejectedCallerId),
            (Failed, Some(607), Reason::CarrierRejectedCallerId),
            (Failed, Some(608), Reason::CarrierRejectedCallerId),
            (Busy, Some(608), Reason::CarrierRejectedCallerId),
            // Media, and the route.
            (Failed, Some(488), Reason::CarrierError),
            (Failed, Some(606), Reason::CarrierError),
            (Failed, Some(500), Reason::CarrierError),
            (Failed, Some(502), Reason::CarrierError),
            (Failed, Some(503), Reason::CarrierError),
            (NoAnswer, Some(503), Reason::CarrierError),
            (Failed, Some(504), Reason::CarrierError),
            (Failed, Some(580), Reason::CarrierError),
            (Failed, Some(599), Reason::CarrierError),
        ] {
            assert_eq!(end_reason(status, sip), Some(reason), "{status:?} {sip:?}");
        }
    }

    #[test]
    fn a_live_or_completed_call_has_no_reason_whatever_the_code() {
        use CallStatus::{Completed, InProgress, Initiated, Queued, Ringing};
        for status in [Queued, Initiated, Ringing, InProgress, Completed] {
            for sip in [None, Some(200), Some(486), Some(603)] {
                assert_eq!(end_reason(status, sip), None, "{status:?} {sip:?}");
            }
        }
    }
}
