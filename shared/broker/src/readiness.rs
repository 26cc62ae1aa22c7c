//! The readiness check `rabbitmq`, which passes while all connections of a broker are open.

use std::sync::{Arc, Mutex, PoisonError};

use fleet_telemetry::ReadyFlag;

/// One connection's share in the check.
#[derive(Clone)]
pub(crate) struct Part {
    place: usize,
    all: Arc<All>,
}

struct All {
    /// Names the closed connections, or nothing for a process that has no such check.
    flag: Option<ReadyFlag>,
    /// The names and whether they are open. A std mutex: it is never held over an await.
    open: Mutex<Vec<(&'static str, bool)>>,
}

impl Part {
    /// One part for each connection.
    pub(crate) fn of<const N: usize>(flag: Option<ReadyFlag>, names: [&'static str; N]) -> [Self; N] {
        let open = Mutex::new(names.iter().map(|&name| (name, false)).collect());
        let all = Arc::new(All { flag, open });
        std::array::from_fn(|place| Self { place, all: all.clone() })
    }

    pub(crate) fn set(&self, is_open: bool) {
        let mut open = self.all.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, this)) = open.get_mut(self.place) {
            *this = is_open;
        }
        let Some(flag) = &self.all.flag else { return };
        match open.iter().find(|(_, is_open)| !is_open) {
            Some((name, _)) => flag.set_failing(format!("no connection for `{name}`")),
            None => flag.set_ready(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_telemetry::Readiness;

    #[test]
    fn it_is_ready_while_all_are_open() {
        let readiness = Readiness::new();
        let [publish, consume] = Part::of(Some(readiness.check("rabbitmq")), ["publish", "consume"]);
        assert!(!readiness.is_ready());
        publish.set(true);
        assert!(!readiness.is_ready());
        consume.set(true);
        assert!(readiness.is_ready());
        publish.set(false);
        assert_eq!(readiness.failing()[0].reason, "no connection for `publish`");
    }
}
