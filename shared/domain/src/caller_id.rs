//! Which number of the pool a call shows: a number of the destination's own country where there is one,
//! since carriers there are likelier to carry it and people likelier to answer it.

use crate::attempt::CallerId;
use crate::phone::PhoneNumber;
use crate::words::CallerIdStep;

/// Chooses from the pool; `None` only when the pool is empty.
#[must_use]
pub fn choose_caller_id(pool: &[PhoneNumber], to: &PhoneNumber) -> Option<CallerId> {
    let local = pool.iter().find(|number| number.calling_code() == to.calling_code());
    let (number, step) = match local {
        Some(number) => (number, CallerIdStep::Local),
        None => (pool.first()?, CallerIdStep::Other),
    };
    Some(CallerId { number: number.e164().into(), step })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_destinations_country_goes_first() {
        let number = |text| PhoneNumber::parse(text).unwrap();
        let pool = [number("+19195550100"), number("+442079460000")];
        let chosen = |to| choose_caller_id(&pool, &number(to)).unwrap();
        assert_eq!(chosen("+447700900123").number, "+442079460000");
        assert_eq!(chosen("+447700900123").step, CallerIdStep::Local);
        assert_eq!(chosen("+41435550100").number, "+19195550100");
        assert_eq!(chosen("+41435550100").step, CallerIdStep::Other);
        assert_eq!(choose_caller_id(&[], &number("+41435550100")), None);
    }
}
