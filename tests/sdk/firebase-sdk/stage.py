"""What each test stands on: a simulator of this checkout, Google's front door before it, and the SDK's app."""

import asyncio
import itertools
import json
import os
import pathlib
import tempfile
import unittest
import warnings

import firebase_admin
from firebase_admin import credentials, messaging

from front import Front, Loop
from simulator import Simulator, run

PROJECT = "demo-mfa"
TOKEN, FID, IGNORANT = "token-of-a-phone", "fid-of-a-phone", "token-of-another"
# Tokens that FCM refuses, by their own names.
REFUSED = ["UNREGISTERED", "SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"]

NUMBERS = itertools.count()


def people():
    """Two phones, and one for each refused token."""
    key = run("--new-device-key").splitlines()[0]
    device = '[[device]]\ndevice_id = "00000000-0000-4000-8000-{:012}"\n{}\n{}\n'
    scripts = [f'fcm_token = "{TOKEN}"\nfid = "{FID}"\napproves = true', f'fcm_token = "{IGNORANT}"\nignores = true']
    scripts += [f'fcm_token = "{code}"\ntoken_fault = "{code}"' for code in REFUSED]
    return "\n".join(device.format(index, key, script) for index, script in enumerate(scripts))


def key_file(folder, **changed):
    """The service account that the simulator trusts, as Google would have written it, with these changes."""
    path = pathlib.Path(folder) / "service-account.json"
    run("--write-credentials", str(path), PROJECT=PROJECT, PUBLIC_URL="https://oauth2.googleapis.com")
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    return str(path)


class Case(unittest.TestCase):
    """A simulator, a front and an app for each class of tests; no faults at the beginning of each test."""

    @classmethod
    def setUpClass(cls):
        # Nobody answers there: an app that is woken says so in the log.
        cls.simulator = Simulator(people(), PROJECT=PROJECT, APP_URL="http://127.0.0.1:1")
        cls.front = Front(cls.simulator.url)
        cls.addClassCleanup(lambda: (cls.simulator.stop(), cls.front.stop()))
        cls.loop = Loop(cls.front)
        # After the SDK has left its connections there.
        cls.addClassCleanup(lambda: (cls.run_async(asyncio.sleep(0)), cls.loop.close()))
        cls.in_environment(HTTPS_PROXY=cls.front.proxy)
        cls.in_environment(REQUESTS_CA_BUNDLE=cls.front.authority, SSL_CERT_FILE=cls.front.authority)
        cls.app = cls.app_with()

    @classmethod
    def in_environment(cls, **variables):
        """Sets these variables as long as the class runs, and removes what others say of proxies."""
        before = dict(os.environ)
        cls.addClassCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        for name in ["https_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "CURL_CA_BUNDLE"]:
            os.environ.pop(name, None)
        os.environ.update(variables)

    @classmethod
    def app_with(cls, **changed):
        """An app of the SDK with this key file."""
        with tempfile.TemporaryDirectory(prefix="fleet-sdk-key-") as folder:
            credential = credentials.Certificate(key_file(folder, **changed))
        app = firebase_admin.initialize_app(credential, name=f"app-{next(NUMBERS)}")
        cls.addClassCleanup(firebase_admin.delete_app, app)
        return app

    def setUp(self):
        self.simulator.control("faults", {"rules": []})
        self.simulator.control("google", {})
        # The SDK warns of `token`, which the fleet's older devices have all the same.
        warnings.simplefilter("ignore", DeprecationWarning)

    def strike(self, **rule):
        """One rule for messages from now on."""
        self.simulator.control("faults", {"rules": [{"place": "push"} | rule]})

    def send(self, dry_run=False, app=None, **message):
        message = message if set(message) & {"token", "fid", "topic", "condition"} else message | {"token": TOKEN}
        return messaging.send(messaging.Message(**message), dry_run=dry_run, app=app or self.app)

    def pushes(self):
        return self.simulator.facts("push")

    @classmethod
    def run_async(cls, coroutine):
        return cls.loop.run_until_complete(coroutine)
