//! The caller ID of the next call: the plan of `fleet-domain`, for the portal's numbers at this worker's carrier.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use fleet_domain::{
    CallerIds, Challenge, PhoneNumber, PlannedCallerId, Policy, Portal, PortalName, Reason, plan_caller_id,
    used_caller_ids,
};

/// Plans caller IDs, and remembers which of the portals' numbers it has reported as not the carrier's.
#[derive(Clone, Default)]
pub(crate) struct CallerIdPlans {
    reported: Arc<Mutex<BTreeSet<(PortalName, usize)>>>,
}

impl CallerIdPlans {
    /// The caller ID of the challenge's next call to `to`; why there is none otherwise. One carrier places all calls,
    /// and it can't withhold a number, so the plan has two of its rungs here.
    pub(crate) fn next(
        &self,
        challenge: &Challenge,
        portal: &Portal,
        (carriers, to): (&[PhoneNumber], &PhoneNumber),
    ) -> Result<PlannedCallerId, Reason> {
        let pool = self.pool(portal, carriers);
        let ids = CallerIds { pool: &pool, ..CallerIds::default() };
        let none = if pool.is_empty() { Reason::Misconfigured } else { Reason::CarrierRejectedCallerId };
        plan_caller_id(ids, to, &used_caller_ids(challenge)).ok_or(none)
    }

    /// The portal's numbers, as far as the carrier has them.
    fn pool(&self, portal: &Portal, carriers: &[PhoneNumber]) -> Vec<PhoneNumber> {
        let Policy { caller_ids, .. } = &portal.policy;
        if caller_ids.is_empty() {
            return carriers.to_vec();
        }
        let numbered = caller_ids.iter().enumerate();
        let found = numbered.filter_map(|(at, wanted)| {
            let number = carriers.iter().find(|number| number.e164() == wanted);
            if number.is_none() {
                self.report(&portal.name, at, wanted);
            }
            number.cloned()
        });
        found.collect()
    }

    /// Once for each process: the policy is read with every call.
    fn report(&self, portal: &PortalName, at: usize, number: &str) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.insert((portal.clone(), at)) {
            let number = PhoneNumber::parse(number).map_or_else(|_| "no number".to_owned(), |n| n.masked());
            tracing::warn!(
                %portal,
                number,
                "number {} of the portal's policy field `caller_ids` is not among `twilio.caller_ids`: no call shows it",
                at + 1,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONDON: &str = "+442079460001";
    const RALEIGH: &str = "+19195550104";
    const BERN: &str = "+41315550105";

    fn numbers(texts: &[&str]) -> Vec<PhoneNumber> {
        texts.iter().map(|text| PhoneNumber::parse(text).unwrap()).collect()
    }

    #[test]
    fn v8_a_portals_own_list_is_a_choice_of_the_carriers_numbers_in_the_portals_order() {
        let carriers = numbers(&[RALEIGH, LONDON, BERN]);
        for (wanted, pool) in [
            (&[][..], &[RALEIGH, LONDON, BERN][..]),
            (&[BERN, RALEIGH], &[BERN, RALEIGH]),
            (&["+19195550999", LONDON], &[LONDON]),
            (&["+19195550999"], &[]),
        ] {
            let caller_ids = wanted.iter().map(|number| (*number).to_owned()).collect();
            let portal = Portal {
                name: PortalName::parse("operations").unwrap(),
                title: "Operations".into(),
                audiences: Vec::new(),
                policy: Policy { caller_ids, ..Policy::default() },
            };
            assert_eq!(CallerIdPlans::default().pool(&portal, &carriers), numbers(pool), "{wanted:?}");
        }
    }
}
