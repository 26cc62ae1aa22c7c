//! One message in, one verdict out.

use fleet_broker::{Delivery, Handler, Poison, Verdict};
use fleet_domain::{EnrollmentEvent, RequestKey};
use fleet_engine::{Error, owed_verdict};
use fleet_lifecycle::{CrashPoint, crash_point};

use crate::opened::{Asked, read};
use crate::worker::Worker;

/// Takes what portals ask for; acks when the request is stored and its test is under way or its change has taken effect.
/// Idempotent by (portal, request id): a second delivery finds the row, and what it owes says what is left to do.
pub(crate) struct RequestHandler {
    pub(crate) worker: Worker,
}

impl RequestHandler {
    async fn take(&self, delivery: &Delivery) -> Result<Verdict, Error> {
        let portal = match self.worker.engine.portal_of(delivery)? {
            Ok(portal) => portal,
            Err(verdict) => return Ok(verdict),
        };
        crash_point(CrashPoint::EnrollmentDelivered);
        match read(delivery) {
            Ok(Asked::Change(request, canonical)) => {
                match self.worker.open(*request, &canonical, &portal).await? {
                    Ok(stored) => {
                        self.worker.tell_soon(stored.clone());
                        self.worker.carry_on(stored).await?;
                        Ok(Verdict::Done)
                    }
                    Err(verdict) => Ok(verdict),
                }
            }
            Ok(Asked::GoesOn(goes_on)) => self.worker.go_on(goes_on, &portal).await,
            Err(invalid) => self.worker.refuse(&portal.name, &invalid).await,
        }
    }
}

impl RequestHandler {
    /// Ends the request of a message that cannot be handled, if there is one; the message itself is parked.
    async fn end(&self, delivery: &Delivery) -> Result<(), Error> {
        let (Some(portal), Ok(asked)) = (delivery.sender.portal(), read(delivery)) else { return Ok(()) };
        let id = match asked {
            Asked::Change(request, _) => request.request_id,
            Asked::GoesOn(goes_on) => goes_on.request_id,
        };
        let key = RequestKey { id, portal: portal.clone() };
        match self.worker.step(&key, None, &EnrollmentEvent::Fail).await {
            Ok(_) | Err(Error::Unknown) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Handler for RequestHandler {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        self.take(&delivery).await.unwrap_or_else(|error| error.verdict())
    }

    async fn give_up(&self, delivery: Delivery) -> Verdict {
        match self.end(&delivery).await {
            Ok(()) => Verdict::Poison(Poison::hash_only(
                "given_up",
                "a request about an enrollment that was delivered over and over and never handled",
                Vec::new(),
            )),
            Err(error) => error.verdict(),
        }
    }
}

/// Takes the ends of tests. Idempotent by the request's row.
pub(crate) struct TestEndedHandler {
    pub(crate) worker: Worker,
}

impl Handler for TestEndedHandler {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let taken = match self.worker.engine.load_owed(&delivery).await {
            Ok(Ok(test)) => self.worker.test_has_ended(&test).await,
            Ok(Err(verdict)) => return verdict,
            Err(error) => Err(error),
        };
        taken.map_or_else(|error| owed_verdict(&error), |()| Verdict::Done)
    }
}
