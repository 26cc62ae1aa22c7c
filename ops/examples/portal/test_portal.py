"""The example as its reader would run it, against a fleet, a simulated carrier and the people of the demo: `run-test` starts them.

What the portal says is held against what the simulator has seen, which is on nobody's side.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import unittest
import urllib.request

import pika
import redis
from nacl.public import PrivateKey, SealedBox

import mfa_portal

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parents[2] / "shared/keys/tests"
# The people of ops/demo-data/people.toml.
OLD, NEW, NOBODY_ANSWERS = "+19195550129", "+19195550130", "+19195550102"
PATIENCE_SECONDS = 60


def facts(kind):
    """The simulator's log of this kind so far."""
    found, after = [], 0
    while True:
        with urllib.request.urlopen(f"{os.environ['TEST_SIMULATOR']}/sim/log?after={after}&limit=1000", timeout=10) as page:
            lines = [json.loads(line) for line in page.read().decode().splitlines()]
        if not lines:
            return [fact for fact in found if fact["fact"] == kind]
        found, after = found + lines, lines[-1]["n"]


def called():
    return [call["to"] for call in facts("call_created")]


def run(*arguments, **changed):
    """Runs the script; what it says, and its exit code."""
    environment = {**os.environ, **changed}
    command = [sys.executable, str(HERE / "change_phone.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    return done.stdout, done.stderr, done.returncode


def end_of(outcomes):
    for outcome in outcomes:
        if outcome.get("next_step") == "retry_test":
            raise AssertionError(f"the test was not passed: {outcome['tests']}")
    return outcome


def await_free_lines():
    """Waits until every call is over: a line that is taken is not called."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with urllib.request.urlopen(f"{os.environ['TEST_SIMULATOR']}/sim/calls", timeout=10) as page:
            by_status = json.load(page)["by_status"]
        if not any(by_status.get(status) for status in ("queued", "initiated", "ringing", "in-progress")):
            return
        time.sleep(0.05)
    raise AssertionError("a call does not end")


class Vectors(unittest.TestCase):
    """What needs no fleet."""

    def test_signatures_are_believed_or_not_as_the_fleets_own_vectors_say(self):
        vectors = json.loads((VECTORS / "outcome_signature_vectors.json").read_text())
        keys = mfa_portal.public_keys(json.dumps(vectors["jwk"]))
        for case in vectors["cases"]:
            with self.subTest(case["name"]):
                document, signature = case["outcome"].encode(), case["jws"].encode()
                if case["valid"]:
                    mfa_portal.verify(keys, document, signature)
                else:
                    with self.assertRaises(mfa_portal.Forged):
                        mfa_portal.verify(keys, document, signature)

    def test_ids_are_of_version_7_and_of_now(self):
        parts = mfa_portal.new_id().split("-")
        self.assertEqual([len(part) for part in parts], [8, 4, 4, 4, 12])
        self.assertEqual(parts[2][0], "7")
        self.assertIn(parts[3][0], "89ab")
        self.assertLess(abs(int(parts[0] + parts[1], 16) / 1000 - time.time()), 5)


class Live(unittest.TestCase):
    """Each test begins with Ruth on her old phone, whichever test ran before."""

    def setUp(self):
        await_free_lines()
        self.portal = mfa_portal.Portal.from_environment()
        self.addCleanup(self.portal.__exit__)

    def sign_in(self, user="ruth"):
        for _ in range(50):
            challenge = self.portal.call(user)
            outcome = end_of(self.portal.outcomes("outcome", challenge))
            # The goodbye of the call before may still be said.
            if outcome["reason"] != "call_in_progress":
                return challenge, outcome
            time.sleep(0.2)
        self.fail("the line stays busy")

    def change(self, number):
        proof, outcome = self.sign_in()
        self.assertEqual(outcome["result"], "approved")
        request = self.portal.change_phone("ruth", {"number": number}, proof)
        return request, end_of(self.portal.outcomes("enrollment", request))

    def test_a_phone_is_changed_the_old_one_called_first_and_the_new_one_from_then_on(self):
        before = len(called())
        said, errors, code = run("ruth", NEW)
        self.assertEqual((errors, code), ("", 0), said)
        self.assertIn("approved by key", said)
        self.assertRegex(said, r"awaiting_test +\d+ s left; next: answer the call")
        self.assertIn("Changed: calls go to +1919*****30 from now on.", said)
        self.assertEqual(called()[before:], [OLD, NEW])
        request, back = self.change(OLD)
        self.assertEqual((back["result"], back["authority"]), ("done", "sign_in"))
        self.assertEqual(called()[before + 2 :], [NEW, OLD])
        event = self.event("mfa.enrollment.changed.v1", request)
        self.assertEqual(event["data"]["outcome"], back)
        self.assertEqual(event["data"]["notify_phones"], ["+1919*****30"])

    def event(self, kind, request):
        """The event of a request, read as the portal's own user."""
        connection = pika.BlockingConnection(pika.URLParameters(os.environ["MFA_AMQP_URL"]))
        channel, until = connection.channel(), time.monotonic() + PATIENCE_SECONDS
        # The portal of this test holds what it has not asked for.
        self.portal.__exit__()
        try:
            while time.monotonic() < until:
                _, __, body = channel.basic_get("recipients.events", auto_ack=True)
                event = json.loads(body) if body else {}
                if event.get("type") == kind and event["data"].get("outcome", {}).get("request_id") == request:
                    return event
            self.fail(f"no {kind}")
        finally:
            connection.close()

    def test_a_phone_that_nobody_answers_is_called_twice_and_the_old_one_stays(self):
        before = len(called())
        said, errors, code = run("ruth", NOBODY_ANSWERS)
        self.assertEqual((errors, code), ("", 3), said)
        self.assertIn("nobody was reached (no_answer): calling once more", said)
        self.assertIn("Nothing is changed (canceled, caller_canceled).", said)
        self.assertEqual(called()[before:], [OLD, NOBODY_ANSWERS, NOBODY_ANSWERS])
        self.assertEqual(self.sign_in()[1]["result"], "approved")
        self.assertEqual(called()[-1], OLD)

    def test_nobody_changes_a_phone_who_is_not_signed_in(self):
        before = len(called())
        said, errors, code = run("dave", NEW)
        self.assertEqual((errors, code), ("", 1), said)
        self.assertIn("denied: hung_up", said)
        self.assertIn("Call the help desk at 919-555-0160.", said)
        self.assertEqual(len(called()), before + 1)

    def test_a_number_that_is_not_called_is_refused_with_field_and_rule(self):
        said, errors, code = run("ruth", "+19005550100")
        self.assertEqual((errors, code), ("", 3), said)
        self.assertRegex(said, r"Nothing is changed \(refused, \w+\)\.\n  data\.sealed\.phone\.number ")

    def test_an_approval_proves_one_change_and_not_two(self):
        proof, _ = self.sign_in()
        first = self.portal.change_phone("ruth", {"number": NEW}, proof)
        self.assertEqual(end_of(self.portal.outcomes("enrollment", first))["result"], "done")
        second = self.portal.change_phone("ruth", {"number": OLD}, proof)
        self.assertEqual(end_of(self.portal.outcomes("enrollment", second))["reason"], "proof_required")
        self.assertEqual(self.change(OLD)[1]["result"], "done")

    def test_an_outcome_that_somebody_has_altered_is_not_believed(self):
        challenge, outcome = self.sign_in("dave")
        self.assertEqual(outcome["result"], "denied")
        key = f"mfa:outcome:recipients:{{{challenge}}}"
        fleet = redis.Redis.from_url(os.environ["TEST_FLEET_REDIS_URL"])
        approved = fleet.get(key).replace(b'"denied"', b'"approved"')
        fleet.set(key, approved, keepttl=True)
        with self.assertRaises(mfa_portal.Forged):
            end_of(self.portal.outcomes("outcome", challenge))
        # Neither is one without a signature.
        fleet.delete(f"{key}:sig")
        with self.assertRaises(mfa_portal.Forged):
            end_of(self.portal.outcomes("outcome", challenge))

    def test_an_outcome_of_another_challenge_is_not_believed(self):
        other, _ = self.sign_in("dave")
        challenge = mfa_portal.new_id()
        fleet = redis.Redis.from_url(os.environ["TEST_FLEET_REDIS_URL"])
        for part in ("", ":sig"):
            copied = fleet.get(f"mfa:outcome:recipients:{{{other}}}{part}")
            fleet.set(f"mfa:outcome:recipients:{{{challenge}}}{part}", copied, ex=60)
        with self.assertRaisesRegex(mfa_portal.Forged, "another request"):
            end_of(self.portal.outcomes("outcome", challenge))

    def test_a_secret_that_is_sealed_to_another_key_is_refused_in_words(self):
        other = PrivateKey.generate()
        said, errors, code = run("ruth", NEW, MFA_ENROLLMENT_KEY=mfa_portal.base64.urlsafe_b64encode(
            bytes(other.public_key)).decode().rstrip("="))
        self.assertEqual(code, 65, said)
        self.assertIn("data.sealed can't be opened: sealed to a key that this fleet does not have", errors)

    def test_a_box_opens_to_what_was_sealed(self):
        own = PrivateKey.generate()
        key = mfa_portal.base64.urlsafe_b64encode(bytes(own.public_key)).decode().rstrip("=")
        names = ("MFA_PORTAL", "MFA_AMQP_URL", "MFA_REDIS_URL", "MFA_OUTCOME_JWK")
        with mfa_portal.Portal(*(os.environ[name] for name in names), key) as portal:
            sealed = portal.seal({"pin": "8250"})
        opened = SealedBox(own).decrypt(mfa_portal.unbase64(sealed["box"]))
        self.assertEqual(json.loads(opened), {"pin": "8250"})

    def test_a_setting_that_is_missing_or_wrong_is_named(self):
        for variable, value in (("MFA_AMQP_URL", ""), ("MFA_OUTCOME_JWK", "{}"), ("MFA_ENROLLMENT_KEY", "AAAA")):
            said, errors, code = run("ruth", NEW, **{variable: value})
            self.assertEqual((said, code), ("", 78))
            self.assertIn(variable, errors)
            self.assertNotIn("Traceback", errors)

    def test_servers_that_do_not_answer_or_let_nobody_in_are_told_without_a_traceback(self):
        wrong_password = os.environ["MFA_AMQP_URL"].split("@")[1]
        for changed in (
            {"MFA_AMQP_URL": "amqp://recipients:x@127.0.0.1:9/%2f"},
            {"MFA_AMQP_URL": f"amqp://recipients:wrong@{wrong_password}"},
            {"MFA_REDIS_URL": "redis://recipients:x@127.0.0.1:9/0"},
        ):
            said, errors, code = run("ruth", NEW, **changed)
            self.assertEqual(code, 69, errors)
            self.assertNotIn("Traceback", errors)
            self.assertNotIn("wrong@", errors)


if __name__ == "__main__":
    unittest.main()
