#!/usr/bin/env python3
"""What an operator does for a portal's developer, here with the demo's environment (`. .stack/demo/env`).

Makes the portal's queue of events, and prints its settings: the portal's own users at RabbitMQ and Redis, and the public
halves of two keys of the fleet. Of the private halves a portal has nothing.
"""

import base64
import hashlib
import json
import os
import shlex
import sys

import pika
from cryptography.hazmat.primitives.serialization import load_der_private_key
from nacl.public import PrivateKey

# An hour of events, and not more than a broker's memory bears when nobody reads them.
QUEUE = {"x-message-ttl": 3_600_000, "x-max-length": 10_000}


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def outcome_jwk(setting):
    """The public half of FLEET_KEYS__OUTCOME_SIGNING_KEY; its id is the thumbprint of RFC 7638."""
    point = load_der_private_key(base64.b64decode(setting), None).public_key().public_numbers()
    x, y = (base64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
    jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    thumbprint = hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest()
    return json.dumps({**jwk, "use": "sig", "alg": "ES256", "kid": base64url(thumbprint)})


def enrollment_key(setting):
    """The public half of FLEET_ENROLLMENT_KEYS__CURRENT."""
    return base64url(bytes(PrivateKey(base64.b64decode(setting)).public_key))


def own_url(variable, portal):
    """The addresses of this portal in a list such as `operations=amqp://…,provider=amqp://…`."""
    pairs = (entry.split("=", 1) for entry in os.environ[variable].split(","))
    return ",".join(url for name, url in pairs if name == portal) or sys.exit(f"{variable} has no portal {portal}")


def make_queue(portal):
    connection = pika.BlockingConnection([pika.URLParameters(url) for url in os.environ["AMQP_URL"].split(",")])
    channel = connection.channel()
    channel.queue_declare(f"{portal}.events", durable=True, arguments=QUEUE)
    channel.queue_bind(f"{portal}.events", "mfa.events", f"{portal}.#")
    connection.close()


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: as_operator.py PORTAL")
    portal = sys.argv[1]
    try:
        settings = {
            "MFA_PORTAL": portal,
            "MFA_AMQP_URL": own_url("PORTAL_AMQP_URLS", portal),
            "MFA_REDIS_URL": own_url("PORTAL_REDIS_URLS", portal),
            "MFA_OUTCOME_JWK": outcome_jwk(os.environ["FLEET_KEYS__OUTCOME_SIGNING_KEY"]),
            "MFA_ENROLLMENT_KEY": enrollment_key(os.environ["FLEET_ENROLLMENT_KEYS__CURRENT"]),
        }
        make_queue(portal)
    except KeyError as missing:
        sys.exit(f"{missing.args[0]} is not set: source the environment of the demo first (. .stack/demo/env)")
    for name, value in settings.items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
