"""What each test stands on: a simulator of this checkout, the SDK's client for it, and the customer's server.

Nothing here knows the simulator's code: it is started as a program and spoken to over HTTP.
"""

import json
import os
import pathlib
import queue
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

CHECKOUT = pathlib.Path(__file__).parents[2]
SIMULATOR = pathlib.Path(os.environ.get("SIMULATOR", CHECKOUT / "target/debug/simulator"))

ACCOUNT = "AC00000000000000000000000000000001"
AUTH_TOKEN = "auth-token-of-the-sdk-tests"
FROM = "+19195550100"
ANSWERS, BUSY, RINGS, ABROAD = "+19195550101", "+19195550103", "+19195550110", "+19195550111"
PEOPLE = f"""
[[person]]
number = "{ANSWERS}"
presses = ["1234#"]

[[person]]
number = "{BUSY}"
busy = true

[[person]]
number = "{RINGS}"
answers = {{ after = "5000s" }}

[[person]]
number = "{ABROAD}"
api_error = 21215
"""
PATIENCE_SECONDS = 20


def until(reached, what):
    """Calls `reached` until it returns something, and returns that."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (result := reached()):
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {PATIENCE_SECONDS} s for {what}")
        time.sleep(0.02)
    return result


class Simulator:
    """A simulator on a port of its own, 200 times as fast as life, with these settings beside the usual."""

    def __init__(self, **more):
        self._folder = tempfile.TemporaryDirectory(prefix="fleet-sdk-")
        folder = pathlib.Path(self._folder.name)
        (folder / "people.toml").write_text(PEOPLE)
        settings = {
            "LISTEN": "127.0.0.1:0",
            "TELEMETRY_LISTEN": "127.0.0.1:0",
            "ACCOUNT_SID": ACCOUNT,
            "AUTH_TOKEN": AUTH_TOKEN,
            "NUMBERS": json.dumps([FROM]),
            "PEOPLE": str(folder / "people.toml"),
            "LOG": str(folder / "log.jsonl"),
            "SPEED": "200.0",
        } | more
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
        environment |= {f"FLEET_SIMULATOR__{name}": value for name, value in settings.items()}
        with open(folder / "output", "wb") as output:
            self._process = subprocess.Popen([SIMULATOR], env=environment, stdout=output, stderr=output)
        self._output, self._log = folder / "output", folder / "log.jsonl"
        self.url = until(self._base_url, "the simulator to serve")

    def _base_url(self):
        if self._process.poll() is not None:
            raise AssertionError(f"the simulator has ended: {self._output.read_text()}")
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return json.loads(lines[0])["base_url"] if lines else None

    def control(self, path, body):
        requests.post(f"{self.url}/sim/{path}", json=body, timeout=10).raise_for_status()

    def stop(self):
        self._process.terminate()
        self._process.wait(timeout=PATIENCE_SECONDS)
        self._folder.cleanup()


class HttpClient(TwilioHttpClient):
    """The SDK's HTTP client, with the simulator in the place of api.twilio.com."""

    def __init__(self, url):
        super().__init__(timeout=10)
        self._url = url

    def request(self, method, url, **more):
        return super().request(method, url.replace("https://api.twilio.com", self._url, 1), **more)


class Request:
    """A request that the simulator made."""

    def __init__(self, handler, base_url, body):
        self.method = handler.command
        self.url = base_url + handler.path
        self.path = urllib.parse.urlsplit(handler.path).path
        self.form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        self.query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(handler.path).query, keep_blank_values=True))
        self.signature = handler.headers["X-Twilio-Signature"]
        self.signature_settings = handler.headers["X-Twilio-Webhooks-Signature-Settings"]


class Customer:
    """The customer's server: answers with the page of a path, or with 204, and keeps what it was asked."""

    def __init__(self):
        self.pages = {}
        self._requests = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = "http://127.0.0.1:%d" % self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self):
        customer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                request = Request(self, customer.url, body)
                customer._requests.put(request)
                page = customer.pages.get(request.path, "").encode()
                self.send_response(200 if page else 204)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        return Handler

    def requests(self, count):
        """The next requests, in the order in which they came."""
        return [self._requests.get(timeout=PATIENCE_SECONDS) for _ in range(count)]

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class Case(unittest.TestCase):
    """A simulator and a client for each class of tests, a customer for each test."""

    SETTINGS = {}

    @classmethod
    def setUpClass(cls):
        cls.simulator = Simulator(**cls.SETTINGS)
        cls.addClassCleanup(cls.simulator.stop)
        cls.client = cls.client_with(AUTH_TOKEN)

    def setUp(self):
        self.customer = Customer()
        self.addCleanup(self.customer.stop)

    @classmethod
    def client_with(cls, auth_token):
        return Client(ACCOUNT, auth_token, http_client=HttpClient(cls.simulator.url))

    def place(self, to, **more):
        more.setdefault("twiml", "<Response/>")
        return self.client.calls.create(to=to, from_=FROM, **more)

    def fetched(self, sid, status):
        """The call once it has this status."""

        def reached():
            call = self.client.calls(sid).fetch()
            return call if call.status == status else None

        return until(reached, f"{sid} to be {status}")
