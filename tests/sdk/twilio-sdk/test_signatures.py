"""The SDK's RequestValidator accepts the signatures of real requests, and no forged one."""

from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator, get_signature_algorithm
from twilio.twiml.voice_response import Gather, VoiceResponse

from stage import ANSWERS, AUTH_TOKEN, BUSY, FROM, Case

# Percent-encoding, plus signs and order must survive on the way to the signature.
QUERY = "name=J%C3%B6rg%20M&q=a+b&b=2&a=1"


class Signatures(Case):
    validator = RequestValidator(AUTH_TOKEN)

    def conversation(self):
        """Every request about a call with a prompt and a pressed key: four callbacks and two documents."""
        asks, thanks = VoiceResponse(), VoiceResponse()
        prompt = Gather(action=f"/digits?{QUERY}", finish_on_key="#")
        prompt.say("Type your PIN & press pound.")
        asks.append(prompt)
        thanks.say("Good bye.")
        thanks.hangup()
        self.customer.pages = {"/voice": str(asks), "/digits": str(thanks)}
        self.client.calls.create(
            to=ANSWERS,
            from_=FROM,
            url=f"{self.customer.url}/voice?{QUERY}",
            status_callback=f"{self.customer.url}/status?{QUERY}#rc=3&rp=all",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
        )
        return self.customer.requests(6)

    def test_every_request_about_a_call_is_accepted(self):
        requests = self.conversation()
        self.assertEqual(sorted(request.path for request in requests), ["/digits"] + ["/status"] * 4 + ["/voice"])
        for request in requests:
            self.assertIsNone(request.signature_settings)
            self.assertTrue(self.validator.validate(request.url, request.form, request.signature), request.url)
        digits = next(request for request in requests if request.path == "/digits")
        self.assertEqual((digits.form["Digits"], digits.form["FinishedOnKey"]), ("1234", "#"))
        statuses = {request.form["SequenceNumber"]: request.form["CallStatus"] for request in requests if request.path == "/status"}
        self.assertEqual(statuses, {"0": "initiated", "1": "ringing", "2": "in-progress", "3": "completed"})

    def test_a_get_is_signed_with_all_parameters_in_its_url(self):
        self.place(BUSY, status_callback=f"{self.customer.url}/status?{QUERY}", status_callback_method="GET")
        (request,) = self.customer.requests(1)
        self.assertEqual((request.method, request.query["CallStatus"], request.query["name"]), ("GET", "busy", "Jörg M"))
        self.assertTrue(self.validator.validate(request.url, {}, request.signature))
        forged = request.url.replace("CallStatus=busy", "CallStatus=completed")
        self.assertFalse(self.validator.validate(forged, {}, request.signature))

    def test_whatever_is_forged_is_refused(self):
        for request in self.conversation():
            url, form, signature = request.url, request.form, request.signature
            without_one = {name: value for name, value in form.items() if name != "CallStatus"}
            forged = {
                "a value": (url, form | {"CallSid": form["CallSid"][:-1] + "x"}, signature),
                "one more parameter": (url, form | {"Admin": "true"}, signature),
                "one parameter less": (url, without_one, signature),
                "the query": (url.replace("a=1", "a=2"), form, signature),
                "the path": (url.replace(request.path, "/other"), form, signature),
                "the host": (url.replace("127.0.0.1", "127.0.0.2"), form, signature),
                "the scheme": (url.replace("http:", "https:"), form, signature),
                "the signature": (url, form, signature[::-1]),
                "no signature": (url, form, ""),
            }
            for what, (url, form, signature) in forged.items():
                self.assertFalse(self.validator.validate(url, form, signature), f"{request.path}: {what}")
            stranger = RequestValidator("another-token")
            self.assertFalse(stranger.validate(request.url, request.form, request.signature), "another key")


class SharedKeySignatures(Case):
    SETTINGS = {"SHARED_KEY": "a-secret-for-webhooks"}

    def test_webhooks_are_signed_with_the_algorithm_that_their_header_names(self):
        self.place(BUSY, status_callback=f"{self.customer.url}/status?{QUERY}")
        (request,) = self.customer.requests(1)
        algorithm = get_signature_algorithm(request.signature_settings)
        self.assertEqual(algorithm, HMAC_SHA256)
        shared_key, auth_token = RequestValidator(self.SETTINGS["SHARED_KEY"]), RequestValidator(AUTH_TOKEN)
        self.assertTrue(shared_key.validate(request.url, request.form, request.signature, algorithm))
        self.assertFalse(shared_key.validate(request.url, request.form, request.signature, HMAC_SHA1))
        self.assertFalse(auth_token.validate(request.url, request.form, request.signature, algorithm))
        self.assertFalse(shared_key.validate(request.url, request.form | {"To": "+1"}, request.signature, algorithm))
