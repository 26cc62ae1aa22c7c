"""A portal's side of the MFA fleet, from its published contracts (shared/contracts) alone.

A portal asks through RabbitMQ, polls in Redis what has become of it, and believes an end only if the fleet has signed it.
"""

import base64
import hashlib
import json
import os
import secrets
import time
import uuid
from datetime import datetime, timezone

import pika
import redis
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from nacl.public import PublicKey, SealedBox

# How long nothing may be known of a request, and how long after its own deadline an end may take, in seconds.
UNKNOWN_FOR, MARGIN = 15, 5


class PortalError(Exception):
    """Something that a person can be told; `exit_code` is what a script ends with."""

    exit_code = 69


class WrongSetting(PortalError):
    exit_code = 78


class Refused(PortalError):
    """The fleet did not take the request: it breaks a rule."""

    exit_code = 65


class Forged(PortalError):
    """The document is not the fleet's: whatever it says, do not act on it."""

    exit_code = 76


def unbase64(text):
    """Base64url without padding, as in JWK and JWS."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def new_id():
    """A UUIDv7: milliseconds, then random bits. The fleet refuses one that was not made just now."""
    bits = time.time_ns() // 1_000_000 << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=bits))


def public_keys(jwk_text):
    """The fleet's signing keys by their ids, from a JWK or a JWK set."""
    try:
        jwks = json.loads(jwk_text)
        keys = {}
        for jwk in jwks.get("keys", [jwks]):
            x, y = (int.from_bytes(unbase64(jwk[name]), "big") for name in "xy")
            keys[jwk["kid"]] = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        return keys
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongSetting("MFA_OUTCOME_JWK must be a P-256 key, or a set of them, as a JWK with its kid") from error


def verify(keys, document, signature):
    """Raises Forged unless this is the fleet's detached JWS (RFC 7515, RFC 7797) over exactly these bytes."""
    try:
        header_text, payload, signature_text = signature.decode("ascii").split(".")
        header, both = json.loads(unbase64(header_text)), unbase64(signature_text)
        # Everything that the header may say is checked: it comes from whoever wrote the document.
        if payload or header != {"alg": "ES256", "b64": False, "crit": ["b64"], "kid": header["kid"]} or len(both) != 64:
            raise ValueError("no detached ES256 signature")
        r, s = (int.from_bytes(half, "big") for half in (both[:32], both[32:]))
        signed = header_text.encode("ascii") + b"." + document
        keys[header["kid"]].verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidSignature) as error:
        raise Forged("The outcome in Redis does not bear the fleet's signature: it is not believed.") from error


class Portal:
    """One portal at the fleet. Use it in a `with` block and in one thread: it has a connection of its own."""

    def __init__(self, name, amqp_url, redis_url, outcome_jwk, enrollment_key):
        self.name, self._keys = name, public_keys(outcome_jwk)
        try:
            self._enrollment_key = PublicKey(unbase64(enrollment_key))
        except Exception as error:
            raise WrongSetting("MFA_ENROLLMENT_KEY must be 32 bytes in base64url without padding") from error
        self._refusals = {}
        try:
            self._redis = redis.Redis.from_url(redis_url, socket_timeout=5)
            # The nodes of one cluster are separated by commas; the first that answers is taken.
            self._broker = pika.BlockingConnection([pika.URLParameters(url) for url in amqp_url.split(",")])
        except (pika.exceptions.AMQPError, OSError, ValueError) as error:
            raise PortalError(f"RabbitMQ lets portal {name} not in: {error!r}") from error
        self._channel = self._broker.channel()
        self._channel.confirm_delivery()
        self._listen()

    @classmethod
    def from_environment(cls):
        values = []
        for variable in ("MFA_PORTAL", "MFA_AMQP_URL", "MFA_REDIS_URL", "MFA_OUTCOME_JWK", "MFA_ENROLLMENT_KEY"):
            if not os.environ.get(variable):
                raise WrongSetting(f"{variable} is not set: the operator of the fleet gives it to you")
            values.append(os.environ[variable])
        return cls(*values)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._broker.is_open:
            self._broker.close()

    def _listen(self):
        """Hears of refusals, which come as events alone. A large portal has one process that reads its events."""
        events = self._broker.channel()

        def hear(_, delivery, __, body):
            event = json.loads(body)
            if event["type"] in ("mfa.challenge.refused.v1", "mfa.enrollment.refused.v1"):
                told = event["data"]
                self._refusals[told.get("challenge_id") or told.get("request_id")] = told
                events.basic_ack(delivery.delivery_tag)
            # All others go back into the queue with the end of this connection.

        try:
            events.basic_consume(f"{self.name}.events", hear)
        except pika.exceptions.ChannelClosedByBroker:
            pass  # No operator has made the queue: a refused request is then one of which nothing becomes known.

    def _publish(self, routing_key, event_type, user, data):
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": f"/portals/{self.name}",
            "type": event_type,
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "subject": user,
            "datacontenttype": "application/json",
            "data": {name: value for name, value in data.items() if value is not None},
        }
        # RabbitMQ checks that user_id is who we are: it is how the fleet knows the portal.
        properties = pika.BasicProperties(
            content_type="application/cloudevents+json", delivery_mode=2, user_id=self.name
        )
        try:
            self._channel.basic_publish("mfa.requests", routing_key, json.dumps(event), properties, mandatory=True)
        except pika.exceptions.UnroutableError as error:
            raise PortalError(f"Nobody at the fleet serves {routing_key}: does it run?") from error
        except pika.exceptions.AMQPError as error:
            raise PortalError(f"RabbitMQ has not taken the request: {error!r}") from error

    def call(self, user, number=None):
        """Asks for a sign-in by a call; `number` is what the page shows for the person to key. Returns the challenge's id."""
        challenge = new_id()
        data = {"challenge_id": challenge, "user_id": user, "number_match": number}
        self._publish("challenge.voice", "mfa.challenge.requested.v1", user, data)
        return challenge

    def change_phone(self, user, phone, proof, number=None):
        """Asks for a new primary phone, proved by a challenge that was just approved. Returns the request's id."""
        request = new_id()
        # The box says for which request and user it is: nobody can use it for another.
        sealed = self.seal({"request_id": request, "user_id": user, "phone": phone})
        data = {"request_id": request, "user_id": user, "change": "phone_change", "phone": "primary", "sealed": sealed}
        data.update(proof={"challenge_id": proof}, number_match=number)
        self._publish("enrollment.request", "mfa.enrollment.requested.v1", user, data)
        return request

    def go_on(self, user, request, how, number=None):
        """Has the test made once more (`test`), or calls the change off (`cancel`)."""
        data = {"request_id": request, "with": how, "number_match": number}
        self._publish("enrollment.continue", "mfa.enrollment.continued.v1", user, data)

    def seal(self, secret):
        """What only the fleet can open: libsodium's crypto_box_seal, and which key it was."""
        box = SealedBox(self._enrollment_key).encrypt(json.dumps(secret).encode())
        key_id = hashlib.sha256(bytes(self._enrollment_key)).hexdigest()[:16]
        return {"key_id": key_id, "box": base64.urlsafe_b64encode(box).decode().rstrip("=")}

    def outcomes(self, kind, request):
        """Yields each new outcome of a request (`outcome` for challenges, `enrollment`) up to the end, which is verified."""
        key, seq, until = f"mfa:{kind}:{self.name}:{{{request}}}", 0, time.monotonic() + UNKNOWN_FOR
        while True:
            if request in self._refusals:
                told = self._refusals.pop(request)
                raise Refused(f"The fleet refuses the request as {told['reason']}: {told['field']} {told['rule']}.")
            try:
                document, signature = self._redis.mget(key, f"{key}:sig")
            except redis.RedisError as error:
                raise PortalError(f"Redis does not answer portal {self.name}: {error}") from error
            outcome = json.loads(document) if document else {"seq": 0}
            if outcome["seq"] > seq:
                if outcome["result"] != "pending":
                    verify(self._keys, document, signature or b"")
                    if outcome["portal"] != self.name or request not in (outcome.get("challenge_id"), outcome.get("request_id")):
                        raise Forged("The outcome in Redis is that of another request: it is not believed.")
                if seq == 0:
                    ends = outcome.get("answer_by") or outcome["respond_by"]
                    left = datetime.fromisoformat(ends.replace("Z", "+00:00")) - datetime.now(timezone.utc)
                    until = time.monotonic() + left.total_seconds() + MARGIN
                seq = outcome["seq"]
                yield outcome
                if outcome["result"] != "pending":
                    return
            if time.monotonic() > until:
                raise PortalError("Nothing has become of the request in time: nobody is signed in, nothing is changed.")
            # A missing key means that nothing is known yet.
            self._pause(outcome.get("poll_after_ms", 250) / 1000)

    def _pause(self, seconds):
        try:
            # This keeps the connection alive, and hears of events.
            self._broker.sleep(seconds)
        except pika.exceptions.AMQPError:
            # What was asked for is stored: its outcome comes without RabbitMQ.
            time.sleep(seconds)
