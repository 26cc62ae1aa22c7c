"""The SDK signs in and sends: to tokens, installation ids and topics, one by one and many at once."""

import datetime

from firebase_admin import messaging

from stage import FID, IGNORANT, REFUSED, TOKEN, Case

NAME = r"^projects/demo-mfa/messages/0:\d{16}%[0-9a-f]{16}$"


def everything():
    """Every field of a message that the SDK knows, as it writes it, but those that exclude each other."""
    alert = messaging.ApsAlert(title="Sign in?", body="Payroll", loc_key="k", loc_args=["a"], custom_data={"x": 1})
    sound = messaging.CriticalSound("default", critical=True, volume=0.5)
    aps = messaging.Aps(alert, badge=1, sound=sound, category="MFA", thread_id="t", mutable_content=True)
    return {
        "data": {"portal": "operations", "challenge_id": "c1"},
        "notification": messaging.Notification("Sign in?", "Payroll", "https://example.org/i.png"),
        "fcm_options": messaging.FCMOptions(analytics_label="mfa"),
        "android": messaging.AndroidConfig(
            collapse_key="c1",
            priority="high",
            ttl=datetime.timedelta(seconds=59.5),
            restricted_package_name="org.example.mfa",
            data={"portal": "operations"},
            fcm_options=messaging.AndroidFCMOptions("mfa"),
            direct_boot_ok=True,
            bandwidth_constrained_ok=True,
            restricted_satellite_ok=False,
            notification=messaging.AndroidNotification(
                title="Sign in?",
                body="Payroll",
                icon="lock",
                color="#336699",
                sound="default",
                tag="c1",
                click_action="OPEN",
                body_loc_key="k",
                body_loc_args=["a"],
                title_loc_key="k",
                title_loc_args=["a"],
                channel_id="mfa",
                image="https://example.org/i.png",
                ticker="Sign in?",
                sticky=False,
                event_timestamp=datetime.datetime.now(datetime.timezone.utc),
                local_only=True,
                priority="max",
                vibrate_timings_millis=[100, 200.5],
                default_vibrate_timings=False,
                default_sound=False,
                light_settings=messaging.LightSettings("#336699", 200, 300),
                default_light_settings=False,
                visibility="secret",
                notification_count=1,
                proxy="deny",
            ),
        ),
        "apns": messaging.APNSConfig(
            headers={"apns-priority": "10", "apns-push-type": "alert", "apns-collapse-id": "c1", "apns-expiration": "0"},
            payload=messaging.APNSPayload(aps, custom="x"),
            fcm_options=messaging.APNSFCMOptions("mfa", "https://example.org/i.png"),
        ),
        "webpush": messaging.WebpushConfig(
            headers={"TTL": "60", "Urgency": "high"},
            data={"portal": "operations"},
            notification=messaging.WebpushNotification(title="Sign in?", body="Payroll", require_interaction=True),
            fcm_options=messaging.WebpushFCMOptions(link="https://example.org"),
        ),
    }


class Sending(Case):
    def test_the_sdk_signs_in_with_its_own_assertion_and_sends_through_the_proxy(self):
        self.assertRegex(self.send(data={"portal": "operations", "challenge_id": "c1"}), NAME)
        self.assertEqual({fact["error"] for fact in self.simulator.facts("token")}, {None})
        sent = self.pushes()[-1]
        self.assertEqual((sent["token"], sent["portal"], sent["challenge"]), (TOKEN, "operations", "c1"))
        self.assertIn(self.front.protocols, [{"http/1.1"}, {None}, {"http/1.1", "h2"}, {None, "h2"}])

    def test_every_field_that_the_sdk_can_write_is_taken(self):
        self.assertRegex(self.send(**everything()), NAME)

    def test_a_background_notification_is_taken(self):
        headers = {"apns-push-type": "background", "apns-priority": "5"}
        payload = messaging.APNSPayload(messaging.Aps(content_available=True))
        self.assertRegex(self.send(apns=messaging.APNSConfig(headers=headers, payload=payload)), NAME)

    def test_a_message_goes_to_an_installation_id_which_may_stand_for_a_token_too(self):
        self.send(fid=FID)
        self.send(token=FID)
        device = self.pushes()[-1]["device"]
        self.assertEqual([(push["fid"], push["token"]) for push in self.pushes()[-2:]], [(FID, None), (None, FID)])
        self.send(token=TOKEN)
        self.assertEqual({push["device"] for push in self.pushes()[-3:]}, {device})

    def test_topics_and_conditions_are_taken_and_reach_nobody(self):
        for target in [{"topic": "news"}, {"topic": "/topics/news"}, {"condition": "'a' in topics"}]:
            self.assertRegex(self.send(**target), NAME)
            self.assertIsNone(self.pushes()[-1]["device"])

    def test_a_dry_run_checks_and_delivers_nothing(self):
        before = len(self.pushes())
        self.assertEqual(self.send(dry_run=True), "projects/demo-mfa/messages/fake_message_id")
        with self.assertRaises(messaging.UnregisteredError):
            self.send(dry_run=True, token="UNREGISTERED")
        self.assertEqual(len(self.pushes()), before)

    def results(self, responses):
        """The exceptions' classes, `None` for what was sent."""
        return [response.exception and type(response.exception) for response in responses.responses]

    def test_each_message_of_many_has_its_own_result(self):
        messages = [messaging.Message(token=token) for token in [TOKEN, "UNREGISTERED", IGNORANT]]
        sent = messaging.send_each(messages, app=self.app)
        self.assertEqual((sent.success_count, sent.failure_count), (2, 1))
        self.assertEqual(self.results(sent), [None, messaging.UnregisteredError, None])
        self.assertRegex(sent.responses[0].message_id, NAME)

    def test_one_message_goes_to_many_tokens_and_installation_ids(self):
        multicast = messaging.MulticastMessage(tokens=[TOKEN, *REFUSED], fids=[FID], data={"portal": "operations"})
        sent = messaging.send_each_for_multicast(multicast, app=self.app)
        refusals = [messaging.UnregisteredError, messaging.SenderIdMismatchError, messaging.ThirdPartyAuthError]
        self.assertEqual(self.results(sent), [None, *refusals, None])

    def test_the_asynchronous_client_sends_many_over_http_2(self):
        messages = [messaging.Message(fid=FID) for _ in range(20)] + [messaging.Message(token="UNREGISTERED")]
        sent = self.run_async(messaging.send_each_async(messages, app=self.app))
        self.assertEqual(self.results(sent), [None] * 20 + [messaging.UnregisteredError])
        self.assertIn("h2", self.front.protocols)
