"""The SDK reads the simulator's refusals as Google's: the right exceptions, tried again or not as it does it itself."""

import datetime
import email.utils
import time

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from firebase_admin import exceptions, messaging
from google.auth.exceptions import RefreshError

from stage import IGNORANT, Case


class Refusals(Case):
    def refusal(self, kind, **message):
        with self.assertRaises(kind) as refused:
            self.send(**message)
        self.assertIs(type(refused.exception), kind)
        return refused.exception

    def test_each_error_code_becomes_its_exception(self):
        table = [
            ("UNREGISTERED", messaging.UnregisteredError, 404),
            ("SENDER_ID_MISMATCH", messaging.SenderIdMismatchError, 403),
            ("THIRD_PARTY_AUTH_ERROR", messaging.ThirdPartyAuthError, 401),
            ("QUOTA_EXCEEDED", messaging.QuotaExceededError, 429),
            ("DEVICE_QUOTA_EXCEEDED", messaging.QuotaExceededError, 429),
            # Google's own gate says nothing of FCM; the SDK knows no more than the status.
            ("PROJECT_QUOTA_EXCEEDED", exceptions.ResourceExhaustedError, 429),
            ("INVALID_ARGUMENT", exceptions.InvalidArgumentError, 400),
            # The SDK does not read what Apple said.
            ("APNS_UNREGISTERED", exceptions.InvalidArgumentError, 400),
            ("PERMISSION_DENIED", exceptions.PermissionDeniedError, 403),
        ]
        for code, kind, status in table:
            self.strike(fault="refused", code=code)
            self.assertEqual(self.refusal(kind).http_response.status_code, status, code)

    def test_a_bad_token_and_a_bad_field_are_invalid_arguments_and_say_which(self):
        bad_token = self.refusal(exceptions.InvalidArgumentError, token="no token at all")
        self.assertEqual(str(bad_token), "The registration token is not a valid FCM registration token")
        headers = {"apns-collapse-id": "x" * 65}
        bad_field = self.refusal(exceptions.InvalidArgumentError, apns=messaging.APNSConfig(headers=headers))
        self.assertEqual(bad_field.http_response.json()["error"]["details"][1]["reason"], "BadCollapseId")
        too_big = self.refusal(exceptions.InvalidArgumentError, data={"a": "x" * 4096})
        self.assertEqual(str(too_big), "Android message is too big")

    def test_server_errors_are_raised_after_four_more_tries_of_the_sdks_own(self):
        for code, kind in [("UNAVAILABLE", exceptions.UnavailableError), ("INTERNAL", exceptions.InternalError)]:
            before = len(self.pushes())
            self.strike(fault="refused", code=code, retry_after="1s")
            self.refusal(kind, token=IGNORANT)
            self.assertEqual(len(self.pushes()) - before, 5, code)

    def test_a_server_error_that_passes_is_not_seen(self):
        before = len(self.pushes())
        self.strike(fault="error_before", status=503, count=1)
        self.send(token=IGNORANT)
        errors = [push["error"] for push in self.pushes()[before:]]
        self.assertEqual(errors, ["UNAVAILABLE", None])

    def test_a_message_that_was_delivered_before_the_error_is_delivered_twice(self):
        before = len(self.pushes())
        self.strike(fault="error_after", status=503, count=1)
        self.send(data={"portal": "operations", "challenge_id": "twice"})
        sent = self.pushes()[before:]
        self.assertEqual([(push["fault"], push["error"]) for push in sent], [("error_after", None), (None, None)])


class Waits(Case):
    def seconds(self, **rule):
        """How long a message takes that meets this fault once."""
        self.strike(count=1, **rule)
        began = time.monotonic()
        self.send(token=IGNORANT)
        return time.monotonic() - began

    def test_retry_after_is_honoured_in_seconds_and_as_a_date(self):
        self.send(token=IGNORANT)
        self.assertGreaterEqual(self.seconds(fault="error_before", status=503, retry_after="1s"), 1)
        date = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        date = email.utils.format_datetime(date, usegmt=True)
        # A date has no parts of a second, and some time has passed since it was made.
        self.assertGreater(self.seconds(fault="error_before", status=503, retry_after=date), 1)

    def test_too_many_requests_are_tried_again_only_when_they_say_when(self):
        self.assertGreaterEqual(self.seconds(fault="too_many", retry_after="1s"), 1)
        with self.assertRaises(messaging.QuotaExceededError):
            self.seconds(fault="too_many")

    def test_the_asynchronous_client_does_not_wait_for_too_many_requests(self):
        self.strike(fault="too_many", retry_after="1s", count=1)
        messages = [messaging.Message(token=IGNORANT)]
        sent = self.run_async(messaging.send_each_async(messages, app=self.app))
        self.assertIs(type(sent.responses[0].exception), messaging.QuotaExceededError)


class AccessTokens(Case):
    def tokens(self):
        return len(self.simulator.facts("token"))

    def test_an_access_token_is_used_until_shortly_before_its_end(self):
        self.send()
        before = self.tokens()
        self.send()
        self.assertEqual(self.tokens(), before)
        # google-auth asks for another one when less than four minutes are left: of these, each time.
        self.simulator.control("google", {"token_lifetime": "60s"})
        app = self.app_with()
        self.send(app=app)
        self.send(app=app)
        self.assertEqual(self.tokens(), before + 2)

    def test_a_token_that_was_revoked_is_exchanged_for_another_one(self):
        self.send()
        before = self.tokens()
        self.simulator.control("google", {"key_revoked": True})
        self.simulator.control("google", {"key_revoked": False})
        self.send()
        self.assertEqual(self.tokens(), before + 1)

    def test_tokens_that_are_refused_again_and_again_are_an_authentication_error(self):
        self.simulator.control("google", {"token_lifetime": "0s"})
        with self.assertRaises(exceptions.UnauthenticatedError):
            self.send(app=self.app_with())

    def test_a_revoked_key_and_a_foreign_one_get_no_token(self):
        self.simulator.control("google", {"key_revoked": True})
        foreign = self.app_with(client_email="somebody@other-project.iam.gserviceaccount.com")
        for app, words in [(self.app, "Invalid JWT Signature"), (foreign, "account not found")]:
            with self.assertRaisesRegex(RefreshError, words):
                self.send(app=app)
        self.simulator.control("google", {"key_revoked": False})
        another = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = another.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        for changed in [{"private_key": pem}, {"private_key_id": "0" * 40}]:
            with self.assertRaisesRegex(RefreshError, "Invalid JWT Signature"):
                self.send(app=self.app_with(**changed))
