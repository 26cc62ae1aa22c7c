"""What each test stands on: a simulator of this checkout, the SDK's client for it, and the customer's server."""

import json
import queue
import threading
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from simulator import PATIENCE_SECONDS, Simulator, until

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
ACCOUNT_SETTINGS = {"ACCOUNT_SID": ACCOUNT, "AUTH_TOKEN": AUTH_TOKEN, "NUMBERS": json.dumps([FROM])}


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
        cls.simulator = Simulator(PEOPLE, **ACCOUNT_SETTINGS | cls.SETTINGS)
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
