//! What reaches the fleet of a portal's requests.

use std::time::Duration;

use fleet_broker::{Broker, Delivery, Handler, Queue, Sender, Verdict};
use fleet_contracts::{CancelRequest, Message, ResendRequest, parse};
use fleet_domain::UserId;
use fleet_portal_client::Channel;
use fleet_telemetry::{Metrics, Readiness};
use tokio::{sync::mpsc, time::timeout};

use crate::support::{PATIENCE, Stage, portal_name, until};

struct Receive(mpsc::UnboundedSender<Delivery>);

impl Handler for Receive {
    async fn handle(&self, delivery: Delivery) -> Verdict {
        let _ = self.0.send(delivery);
        Verdict::Done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_arrive_as_the_portals_own_and_are_the_same_when_sent_again() {
    let stage = Stage::set();
    let mut settings = fleet_broker::Settings::for_urls(stage.settings.amqp_urls.clone()).unwrap();
    settings.namespace.clone_from(&stage.settings.broker_namespace);
    settings.declare_timeout = PATIENCE;
    let readiness = Readiness::new();
    let broker = Broker::start(&settings, &stage.context, &Metrics::new(), &readiness).unwrap();
    until(|| readiness.is_ready()).await;
    let (sender, mut received) = mpsc::unbounded_channel();
    for queue in [Queue::ChallengePush, Queue::ChallengeTotp, Queue::Control] {
        broker.consume(queue, 16, Receive(sender.clone()));
    }

    let user = UserId::parse("avery.lee").unwrap();
    let draft = stage.portal.draft(user.clone()).by(Channel::Push).answer_within(Duration::from_mins(1));
    let mut bodies = Vec::new();
    for _ in 0..2 {
        assert_eq!(stage.portal.challenge(&draft).await.unwrap(), draft.id());
        let delivery = timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
        assert_eq!(delivery.sender, Sender::Portal(portal_name()));
        bodies.push(delivery.body);
    }
    assert_eq!(bodies[0], bodies[1]);
    let asked = parse(&bodies[0]).unwrap().event.message;
    assert!(
        matches!(&asked, Message::ChallengeRequested(request) if request.challenge_id == draft.id() && request.user_id == user),
        "{asked:?}"
    );

    stage.portal.cancel(draft.id()).await.unwrap();
    let delivery = timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
    let canceled = parse(&delivery.body).unwrap().event.message;
    assert_eq!(canceled, Message::CancelRequested(CancelRequest { challenge_id: draft.id() }));

    stage.portal.resend(draft.id()).await.unwrap();
    let delivery = timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
    let resent = parse(&delivery.body).unwrap().event.message;
    assert_eq!(resent, Message::ResendRequested(ResendRequest { challenge_id: draft.id() }));

    let by_code = stage.portal.draft(user).by(Channel::Totp);
    assert_eq!(stage.portal.challenge(&by_code).await.unwrap(), by_code.id());
    assert_eq!(timeout(PATIENCE, received.recv()).await.unwrap().unwrap().queue, Queue::ChallengeTotp);
    stage.end().await;
}
