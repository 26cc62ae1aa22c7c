//! What portals may not be called, held against the names that are taken.

use std::collections::BTreeSet;

use fleet_broker::{Exchange, Queue};
use fleet_domain::{PortalName, TAKEN_NAMES};

#[test]
fn no_portal_can_be_named_after_a_queue_or_an_exchange_of_the_fleet() {
    let queues = Queue::ALL.into_iter().map(Queue::name);
    let names = queues.chain(Exchange::ALL.into_iter().map(Exchange::name));
    let firsts: BTreeSet<&str> = names.map(|name| name.split('.').next().unwrap()).chain(["amq"]).collect();
    for first in &firsts {
        let refused = PortalName::parse(first).unwrap_err();
        assert!(refused.to_string().contains("is taken"), "{first}: {refused}");
    }
    assert_eq!(firsts, BTreeSet::from(TAKEN_NAMES), "no name is taken for nothing");
}
