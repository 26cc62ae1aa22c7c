//! What the tests share: processes over one schema, and challenges by the real rules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleet_domain::{
    Ask, CallerId, CallerIdStep, Challenge, ChallengeId, ChallengeKey, Channel, Context as AskContext, Event,
    PhoneKind, PhoneNumber, PhoneRole, Policy, Portal, PortalName, Purpose, PushToken, Target, Timestamp,
    User, UserId, open, step,
};
use fleet_keys::Keys;
use fleet_lifecycle::{Clock, Context, Stop, Tasks};
use fleet_records::testing::Scratch;
use fleet_records::{
    Actor, Created, DeviceAlg, Lane, Line, NewDevice, NewPhone, NewUser, Note, Records, Settings, Stored,
    Transition,
};
use fleet_telemetry::{Metrics, Readiness};

/// One process of the fleet.
pub(crate) struct Process {
    pub(crate) records: Records,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    pub(crate) context: Context,
}

impl Process {
    pub(crate) async fn start(scratch: &Scratch) -> Self {
        Self::with(scratch.settings().clone()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let stop = Stop::new();
        let context = Context { tasks: Tasks::new(stop.clone()), stop, clock: Clock::system() };
        let (metrics, readiness) = (Metrics::new(), Readiness::new());
        let records =
            Records::start(settings, Keys::for_tests(), &context, &metrics, &readiness).await.unwrap();
        Self { records, metrics, readiness, context }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// The value of a metric's sample, 0 where there is none.
    pub(crate) fn metric(&self, sample: &str) -> u64 {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')).unwrap_or("0");
        line.parse().unwrap()
    }

    /// Stores a new challenge and gives it as it is stored.
    pub(crate) async fn create(&self, channel: Channel) -> Stored {
        self.create_until(channel, None).await
    }

    pub(crate) async fn create_until(&self, channel: Channel, answer_by: Option<Timestamp>) -> Stored {
        let challenge = challenge(channel, self.now(), answer_by);
        assert_eq!(self.records.create(&challenge, note("accepted")).await.unwrap(), Created::New);
        Stored { challenge, told: 0 }
    }

    /// Steps and commits, which must count.
    pub(crate) async fn apply(&self, before: &Stored, event: &Event) -> Stored {
        let after = step(&before.challenge, event, self.now()).unwrap();
        let committed = self.records.commit(Lane::Bulk, transition(before, &after, None)).await.unwrap();
        assert_eq!(committed, fleet_records::Committed::Done, "{event:?}");
        Stored { challenge: after, told: before.told }
    }

    /// Stops softly; everything that was asked for is done.
    pub(crate) async fn stop(self) {
        self.context.stop.request_soft();
        assert!(self.context.tasks.wait(Duration::from_secs(10)).await);
        assert!(!self.context.tasks.any_failed());
    }
}

pub(crate) fn note(event: &'static str) -> Note {
    Note { event, actor: Actor::Fleet }
}

pub(crate) fn transition<'a>(before: &'a Stored, after: &'a Challenge, line: Option<Line>) -> Transition<'a> {
    Transition { before, after, note: note("tested"), line }
}

/// An accepted challenge for ann, which nothing was sent for yet.
pub(crate) fn challenge(channel: Channel, now: Timestamp, answer_by: Option<Timestamp>) -> Challenge {
    let ask = Ask {
        key: ChallengeKey { id: new_id(now), portal: portal().name },
        user: UserId::parse("ann").unwrap(),
        purpose: Purpose::SignIn,
        channel: Some(channel),
        target: Target::Primary,
        workflow: Vec::new(),
        number_match: Some([7; 16]),
        answer_by,
        locale: None,
        context: AskContext {
            application: Some("Payroll".into()),
            client_ip: Some("192.0.2.7".into()),
            place: Some("Raleigh, North Carolina".into()),
            fields: Vec::new(),
        },
        body_hash: [9; 32],
    };
    let challenge = open(&ask, Some(&ann_as_loaded()), &portal(), now).unwrap();
    assert!(challenge.is_open());
    challenge
}

fn new_id(now: Timestamp) -> ChallengeId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut random = [0; 10];
    // Scattered as random ones are, and all different.
    let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    random[2..].copy_from_slice(&number.to_be_bytes());
    ChallengeId::from_parts(now, random)
}

pub(crate) fn portal() -> Portal {
    Portal {
        name: PortalName::parse("operations").unwrap(),
        title: "Example Corp".into(),
        audiences: vec!["staff".into()],
        policy: Policy::default(),
    }
}

/// Ann, who has a phone and a device.
pub(crate) fn ann() -> NewUser {
    NewUser {
        id: UserId::parse("ann").unwrap(),
        audience: "staff".into(),
        method: Channel::Push,
        phones: vec![NewPhone {
            role: PhoneRole::Primary,
            kind: PhoneKind::Mobile,
            number: number(),
            extension: None,
            verified: true,
        }],
        devices: vec![NewDevice {
            id: device_id(),
            alg: DeviceAlg::EdDsa,
            public_key: vec![1; 32],
            push_token: Some(PushToken::new("token-1".into())),
            totp: None,
        }],
    }
}

pub(crate) fn device_id() -> fleet_domain::DeviceId {
    fleet_domain::DeviceId::parse("0192f6a0-0000-7000-8000-000000000001").unwrap()
}

pub(crate) fn number() -> PhoneNumber {
    PhoneNumber::parse("+19195550100").unwrap()
}

fn ann_as_loaded() -> User {
    let phone = fleet_domain::Phone {
        role: PhoneRole::Primary,
        kind: PhoneKind::Mobile,
        verified: true,
        sealed: vec![5; 60],
        masked: number().masked(),
        has_extension: false,
    };
    let device =
        fleet_domain::Device { id: device_id(), push_token: None, push_gone: false, has_totp: false };
    User {
        id: UserId::parse("ann").unwrap(),
        audience: "staff".into(),
        method: Channel::Push,
        blocked: false,
        has_pin: false,
        pin_locked_until: None,
        totp_locked_until: None,
        bypass: false,
        opted_out: Vec::new(),
        phones: vec![phone],
        devices: vec![device],
    }
}

pub(crate) fn dial() -> Event {
    let caller_id = CallerId { number: "+15005550006".into(), step: CallerIdStep::ALL[0] };
    Event::Dial { step: 0, caller_id, has_next_caller_id: false, check_after: Duration::from_secs(10) }
}

pub(crate) fn send() -> Event {
    Event::Send { check_after: None }
}
