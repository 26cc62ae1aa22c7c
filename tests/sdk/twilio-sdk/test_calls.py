"""The SDK creates, fetches, lists, updates and deletes calls, and reads the simulator's errors as Twilio's."""

import datetime

from twilio.base.exceptions import TwilioRestException
from twilio.twiml.voice_response import VoiceResponse

from stage import ABROAD, ANSWERS, BUSY, FROM, RINGS, Case

UNKNOWN = "CA00000000000000000000000000000000"
WAITS = "<Response><Pause length='9000'/></Response>"


class Calls(Case):
    def test_a_created_call_is_queued_and_has_the_nulls_and_strings_that_the_sdk_expects(self):
        call = self.place(ANSWERS, status_callback_event=["initiated", "completed"], timeout=20, send_digits="ww1")
        self.assertRegex(call.sid, "^CA[0-9a-f]{32}$")
        self.assertEqual((call.status, call.direction, call.queue_time), ("queued", "outbound-api", "0"))
        self.assertEqual((call.to, call._from, call.to_formatted), (ANSWERS, FROM, "(919) 555-0101"))
        for unknown in ["date_created", "date_updated", "start_time", "end_time", "duration", "price", "answered_by"]:
            self.assertIsNone(getattr(call, unknown), unknown)

    def test_a_fetched_call_tells_how_it_went(self):
        document = VoiceResponse()
        document.say("Good bye.")
        call = self.fetched(self.place(ANSWERS, twiml=str(document)).sid, "completed")
        for when in [call.date_created, call.start_time, call.end_time]:
            self.assertIsInstance(when, datetime.datetime)
            self.assertEqual(when.utcoffset(), datetime.timedelta())
        self.assertTrue(call.duration.isdigit() and call.price.startswith("-"), (call.duration, call.price))
        self.assertEqual(self.fetched(self.place(BUSY).sid, "busy").duration, "0")

    def test_a_ringing_call_is_canceled_once(self):
        sid = self.place(RINGS, timeout=600).sid
        self.fetched(sid, "ringing")
        self.assertEqual(self.client.calls(sid).update(status="canceled").status, "canceled")
        with self.assertRaises(TwilioRestException) as refused:
            self.client.calls(sid).update(status="canceled")
        self.assertEqual((refused.exception.status, refused.exception.code), (400, 21220))

    def test_an_answered_call_is_left_alone_by_cancel_redirected_and_completed(self):
        sid = self.place(ANSWERS, twiml=WAITS).sid
        self.fetched(sid, "in-progress")
        self.assertEqual(self.client.calls(sid).update(status="canceled").status, "in-progress")
        self.customer.pages["/other"] = WAITS
        self.client.calls(sid).update(url=f"{self.customer.url}/other")
        self.assertEqual(self.customer.requests(1)[0].form["CallSid"], sid)
        self.assertEqual(self.client.calls(sid).update(status="completed").status, "completed")

    def test_a_call_above_the_rate_waits_and_is_canceled_in_the_queue(self):
        self.simulator.control("account", {"calls_per_second": 1})
        self.addCleanup(self.simulator.control, "account", {"calls_per_second": 0})
        calls = [self.place(BUSY) for _ in range(4)]
        self.assertGreater(int(calls[-1].queue_time), 1_000)
        self.assertEqual(self.client.calls(calls[-1].sid).update(status="canceled").status, "canceled")
        self.assertIsNone(self.client.calls(calls[-1].sid).fetch().start_time)

    def test_an_ended_call_can_be_deleted_and_is_gone(self):
        sid = self.place(BUSY).sid
        self.fetched(sid, "busy")
        self.assertTrue(self.client.calls(sid).delete())
        with self.assertRaises(TwilioRestException) as missing:
            self.client.calls(sid).fetch()
        self.assertEqual((missing.exception.status, missing.exception.code), (404, 20404))


class Lists(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls("test_filters_find_what_they_name")
        cls.busy = [case.place(BUSY).sid for _ in range(5)]
        cls.ringing = case.place(RINGS, timeout=600).sid
        for sid in cls.busy:
            case.fetched(sid, "busy")

    def sids(self, **filters):
        return [call.sid for call in self.client.calls.list(**filters)]

    def test_filters_find_what_they_name(self):
        self.assertEqual(self.sids(), [self.ringing, *reversed(self.busy)])
        self.assertEqual(self.sids(to=RINGS), [self.ringing])
        self.assertEqual(self.sids(status="busy", from_=FROM), self.busy[::-1])
        self.assertEqual(self.sids(to=BUSY, limit=2), self.busy[:2:-1])
        self.assertEqual(self.sids(from_="+19195550199"), [])
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        self.assertEqual(len(self.sids(start_time_after=now - day)), 6)
        self.assertEqual(self.sids(start_time_before=now - day), [])
        self.assertEqual(len(self.sids(end_time_after=now - day)), 5)

    def test_pages_are_followed_to_the_last(self):
        self.assertEqual(self.sids(to=BUSY, page_size=2), self.busy[::-1])
        first = self.client.calls.page(to=BUSY, page_size=3)
        second = first.next_page()
        self.assertEqual([call.sid for call in first] + [call.sid for call in second], self.busy[::-1])
        self.assertIsNone(second.next_page())
        self.assertIsNone(self.client.calls.page(to=BUSY, page_size=3).previous_page())

    def test_a_call_that_is_placed_between_two_pages_shifts_nothing(self):
        first = self.client.calls.page(to=BUSY, page_size=3)
        latest = self.place(BUSY).sid
        self.fetched(latest, "busy")
        self.assertEqual([call.sid for call in first.next_page()], self.busy[1::-1])
        self.assertTrue(self.client.calls(latest).delete())


class Errors(Case):
    def refusal(self, action):
        with self.assertRaises(TwilioRestException) as refused:
            action()
        return refused.exception

    def test_a_refused_create_has_its_status_code_and_words(self):
        place = lambda to=BUSY, from_=FROM, twiml="<Response/>", **more: lambda: self.client.calls.create(
            to=to, from_=from_, twiml=twiml, **more
        )
        table = [
            (place(to=""), 400, 21201, "No 'To' number is specified"),
            (place(twiml=""), 400, 21205, "Url parameter is required."),
            (place(from_=""), 400, 21213, "From phone number is required."),
            (place(from_="hello"), 400, 21212, "hello"),
            (place(from_="+14155550999"), 400, 21210, "not yet verified for your account"),
            (place(to="+1415"), 400, 21211, "The phone number you are attempting to call, +1415, is not valid."),
            (place(to=FROM), 400, 21211, "is not valid"),
            (place(to=ABROAD), 400, 21215, f"Account not authorized to call {ABROAD}"),
            (place(timeout=601), 400, 21208, "Timeout"),
            (place(send_digits="12x"), 400, 21206, "SendDigits"),
            (place(machine_detection="Perhaps"), 400, 21234, "machine detection"),
            (place(twiml="a" * 4_001), 400, 32018, "Twiml"),
        ]
        for action, status, code, words in table:
            refused = self.refusal(action)
            self.assertEqual((refused.status, refused.code), (status, code), words)
            self.assertIn(words, refused.msg)

    def test_strangers_and_unknown_calls_are_told_so(self):
        stranger = self.refusal(self.client_with("wrong").calls(UNKNOWN).fetch)
        self.assertEqual((stranger.status, stranger.code), (401, 20003))
        self.assertIn("Authenticate", stranger.msg)
        unknown = self.client.calls(UNKNOWN)
        for action in [unknown.fetch, unknown.delete, lambda: unknown.update(status="completed")]:
            missing = self.refusal(action)
            self.assertEqual((missing.status, missing.code), (404, 20404))
            self.assertIn(f"/Calls/{UNKNOWN}.json was not found", missing.msg)

    def test_faults_on_demand_are_errors_as_twilio_sends_them(self):
        self.addCleanup(self.simulator.control, "faults", {"rules": []})
        for fault, status, code in [("too_many", 429, 20429), ("error_before", 500, 20500), ("error_after", 500, 20500)]:
            self.simulator.control("faults", {"rules": [{"place": "call_create", "fault": fault, "count": 1}]})
            refused = self.refusal(lambda: self.place(BUSY))
            self.assertEqual((refused.status, refused.code), (status, code), fault)
        self.assertEqual(len(self.client.calls.list()), 1, "what was placed in spite of the error")
