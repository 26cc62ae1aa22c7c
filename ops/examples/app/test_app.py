"""The app as its reader would run it, against a real fleet: `run-test` starts one. Portals ask by fleetctl.

The app takes the place of Mallory's phone in the demo, whose own app looks away.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from cryptography.hazmat.primitives import serialization

import mfa_app

HERE = pathlib.Path(__file__).parent
PEOPLE = HERE.parents[1] / "demo-data/people.toml"
PATIENCE_SECONDS = 60


def fleetctl(*arguments):
    """What fleetctl says as JSON."""
    command = [os.environ["TEST_FLEETCTL"], *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    return json.loads(done.stdout) if done.stdout else _fail(done.stderr)


def _fail(said):
    raise AssertionError(said)


def mallorys_phone(url):
    """Her device, with the key that everybody has."""
    section = PEOPLE.read_text(encoding="utf-8").split('[[device]]\nuser = "mallory"\n')[1].split("[[")[0]
    values = dict(line.split(" = ", 1) for line in section.splitlines() if " = " in line)
    key = serialization.load_der_private_key(base64.b64decode(json.loads(values["private_key"])), None)
    return mfa_app.App(url, key, {"device_id": json.loads(values["device_id"])})


class Asked:
    """A challenge that a portal has asked for, until its end."""

    def __init__(self, *arguments):
        command = [os.environ["TEST_FLEETCTL"], "challenge", "--portal", "recipients", "--user", "mallory", "--method", "push"]
        self._portal = subprocess.Popen([*command, "--json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self):
        """The signed outcome, as the portal has it."""
        out, err = self._portal.communicate(timeout=PATIENCE_SECONDS)
        return json.loads(out) if out else _fail(err)


class OnARealFleet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.state = str(pathlib.Path(cls.folder.name, "device.json"))
        cls.app = mallorys_phone(os.environ["TEST_GATEWAY"])
        cls.app.save(cls.state)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_app(self, *arguments):
        """Runs the script; what it says."""
        command = [sys.executable, str(HERE / "mfa_app.py"), "--state", self.state, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        return done.stdout + done.stderr

    def waiting(self):
        """The challenge that waits, as soon as it does."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            waiting = self.app.challenges()
            if waiting:
                return waiting[0]
            time.sleep(0.1)
        raise AssertionError("the app's list stays empty")

    def test_a_code_activates_one_device_whichever_way_it_is_read(self):
        for way in ("qr", "typed"):
            told = fleetctl("user", "change", "mallory", "device_activate", "--portal", "helpdesk", "--reason", "asked")
            codes, state = told["activation"], str(pathlib.Path(self.folder.name, way))
            given = [codes["qr"]] if way == "qr" else [codes["code"].lower(), "--url", codes["url"]]
            mistyped = codes["code"][:-1] + ("2" if codes["code"][-1] != "2" else "3")
            self.assertIn("mistyped", self.run_app("--state", state, "activate", mistyped, "--url", codes["url"]))
            self.assertEqual(self.run_app("--state", state, "activate", *given), "")
            late = self.run_app("--state", state + "-late", "activate", codes["qr"])
            self.assertIn("activation_used", late)
            device = mfa_app.App.load(state)
            self.assertEqual((device.known["portal"], device.known["account"]), ("helpdesk", "mallory"))
            digits = self.run_app("--state", state, "code").split()[0]
            self.assertRegex(digits, "^[0-9]{6}$")
            device.push_address({"token": "another-token"}, version=10)
            for version, code in ((10, "stale_version"), (9, "stale_version"), (0, "malformed")):
                with self.assertRaises(mfa_app.AppError) as refused:
                    device.post("/app/push-address", "mfa-push-address+jwt", {**device._about_itself(), "version": version})
                self.assertEqual(refused.exception.code, code, version)
            device.push_address()
            self.assertEqual(self.run_app("--state", state, "list"), "", "it waits for its test alone")
            self.assertEqual(self.run_app("--state", state, "revoke"), "")
            with self.assertRaises(mfa_app.AppError) as refused:
                device.challenges()
            self.assertEqual(refused.exception.code, "unauthorized")

    def test_the_number_on_the_page_approves_and_is_named(self):
        asked = Asked("--number", "47", "--application", "Payroll")
        challenge = self.waiting()
        self.assertTrue(challenge["number_match"])
        self.assertIn("Payroll", self.run_app("list"))
        said = self.run_app("approve", challenge["challenge_id"], "--number", "47", "--uv", "pin")
        self.assertEqual(said, "approved: ok_push\n")
        outcome = asked.end()
        self.assertEqual((outcome["result"], outcome["assurance"]), ("approved", "number_match+pin"))
        self.assertIn("ringing_at", outcome["attempts"][0], "the portal has seen that the app showed it")
        self.assertIn("no such challenge waits", self.run_app("approve", challenge["challenge_id"]))

    def test_another_number_denies_and_a_denial_says_why(self):
        asked = Asked("--number", "47")
        said = self.run_app("approve", self.waiting()["challenge_id"], "--number", "48")
        self.assertEqual((said, asked.end()["reason"]), ("denied: number_mismatch\n", "number_mismatch"))
        asked = Asked()
        said = self.run_app("deny", self.waiting()["challenge_id"], "--reason", "canceled")
        self.assertEqual((said, asked.end()["reason"]), ("denied: user_canceled\n", "user_canceled"))

    def test_a_forged_answer_is_refused_and_decides_nothing(self):
        asked = Asked()
        challenge = self.waiting()
        forger = mfa_app.App(self.app.url, known=self.app.known)
        with self.assertRaises(mfa_app.AppError) as refused:
            forger.answer(challenge, "approve")
        self.assertEqual(refused.exception.code, "unauthorized")
        for change in ({"nonce": "0" * 32}, {"answer_by": "2100-01-01T00:00:00Z"}):
            with self.assertRaises(mfa_app.AppError) as refused:
                self.app.answer({**challenge, **change}, "approve")
            self.assertEqual(refused.exception.code, "malformed", change)
        self.assertEqual(self.waiting()["challenge_id"], challenge["challenge_id"], "it still waits")
        self.assertEqual(self.app.answer(challenge, "deny", reason="mistake")["reason"], "user_declined")
        self.assertEqual(asked.end()["reason"], "user_declined")
        with self.assertRaises(mfa_app.AppError) as refused:
            self.app.answer(challenge, "approve")
        self.assertEqual(refused.exception.code, "ended")


if __name__ == "__main__":
    unittest.main()
