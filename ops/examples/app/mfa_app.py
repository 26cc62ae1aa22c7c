#!/usr/bin/env python3
"""An authenticator app for the MFA fleet, from its published protocol (shared/contracts/app/README.md) alone.

It keeps its key in a file. An app on a phone keeps it in the phone's key store and asks for a PIN or a fingerprint before it signs.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
# What an activation is refused with for good.
VOID = {"malformed", "code_mistyped", "activation_unknown", "activation_used", "activation_expired"}


class AppError(Exception):
    """Something that a person can be told; `code` is the protocol's, where the fleet refused."""

    def __init__(self, message, code=None):
        super().__init__(message)
        self.code = code


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def scan(text):
    """Base URL and code of a QR code's text."""
    link = urllib.parse.urlsplit(text.strip())
    parts = urllib.parse.parse_qs(link.query)
    if (link.scheme, link.netloc) != ("mfa-fleet", "activate") or any(len(parts.get(name, [])) != 1 for name in ("v", "url", "code")):
        raise AppError("this is no activation code, or a damaged one: scan it again")
    if parts["v"] != ["1"]:
        raise AppError("this code needs a newer app")
    if len(parts["code"][0]) != 22:
        raise AppError("this code is damaged: scan it again")
    return base_url(parts["url"][0]), parts["code"][0]


def typed(text):
    """A code that was typed. Its last character checks the others (ISO 7064, hybrid system MOD 31,30)."""
    code = text.upper().replace("-", "").replace(" ", "")
    if len(code) == 12 and all(character in ALPHABET for character in code):
        product = 30
        for character in code[:-1]:
            product = ((product + ALPHABET.index(character)) % 30 or 30) * 2 % 31
        if (product + ALPHABET.index(code[-1])) % 30 == 1:
            return code
    raise AppError("the code is mistyped: compare it with the page")


def base_url(text):
    """Codes and answers go out encrypted, or no further than to this machine."""
    url = urllib.parse.urlsplit(text)
    if url.scheme == "https" and url.hostname or url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1"):
        return text.rstrip("/")
    raise AppError("the URL must begin with https://")


def one_time_code(secret, now):
    """RFC 6238: SHA-1, six digits, thirty seconds."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, (int(now) // 30).to_bytes(8, "big"), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


class App:
    """A device: its key, and what the fleet has told it."""

    def __init__(self, url, key=None, known=None):
        self.url, self.known = url, known or {}
        self.key = key or ec.generate_private_key(ec.SECP256R1())

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise AppError(f"{path}: others can read the device's key")
            stored = json.load(file)
        key = serialization.load_pem_private_key(stored["key"].encode("ascii"), None)
        return cls(stored["url"], key, stored["known"])

    def save(self, path):
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        new = f"{path}.new"
        if os.path.lexists(new):
            os.remove(new)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"url": self.url, "key": pem.decode("ascii"), "known": self.known}, file, indent=2)
        os.replace(new, path)

    def sign(self, typ, claims):
        """A compact JWS. The fleet knows the key by the device's id; before the activation it is shown."""
        header = {"alg": "ES256", "typ": typ}
        if "device_id" in self.known:
            header["kid"] = self.known["device_id"]
        else:
            point = self.key.public_key().public_numbers()
            x, y = (base64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
            header["jwk"] = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        signed = ".".join(base64url(json.dumps(part).encode("utf-8")) for part in (header, claims))
        r, s = decode_dss_signature(self.key.sign(signed.encode("ascii"), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def ask(self, method, path):
        """A request that is proved by a header."""
        claims = {"htm": method, "htu": self.url + path, "iat": int(time.time()), "jti": secrets.token_hex(16)}
        return self._send(method, path, {"Authorization": "Device " + self.sign("mfa-request+jwt", claims)})

    def post(self, path, typ, claims):
        """A signed message."""
        return self._send("POST", path, {"Content-Type": "application/jose"}, self.sign(typ, claims))

    def _send(self, method, path, headers, body=None):
        request = urllib.request.Request(self.url + path, body and body.encode("ascii"), headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as refused:
            try:
                error = json.loads(refused.read())["error"]
                code, message = error["code"], error["message"]
            except (ValueError, KeyError, TypeError):
                raise AppError(f"{self.url} is no MFA fleet: HTTP status {refused.code}") from refused
            raise AppError(f"{code}: {message}", code) from refused
        except OSError as error:
            raise AppError(f"{self.url} can't be reached: {error}") from error

    def activate(self, code, name, push=None):
        claims = {"aud": self.url, "iat": int(time.time()), "code": code, "name": name, "platform": "other"}
        self.known = self.post("/app/activate", "mfa-activation+jwt", {**claims, **({"push": push} if push else {})})

    def challenges(self):
        return self.ask("GET", "/app/challenges")["challenges"]

    def opened(self, challenge):
        self.ask("POST", f"/app/challenges/{challenge['portal']}/{challenge['challenge_id']}/opened")

    def answer(self, challenge, decision, **said):
        """`approve` with number and uv, or `deny` with a reason. The first answer decides; there is no second try."""
        same = {name: challenge[name] for name in ("portal", "challenge_id", "nonce")}
        until = datetime.fromisoformat(challenge["answer_by"].replace("Z", "+00:00"))
        claims = {**same, "device_id": self.known["device_id"], "decision": decision, "exp": int(until.timestamp())}
        claims.update({name: value for name, value in said.items() if value is not None})
        path = f"/app/challenges/{challenge['portal']}/{challenge['challenge_id']}/answer"
        return self.post(path, "mfa-answer+jwt", claims)

    def _about_itself(self):
        return {"aud": self.url, "device_id": self.known["device_id"], "iat": int(time.time())}

    def push_address(self, push=None, version=None):
        claims = {**self._about_itself(), "version": version or int(time.time() * 1000)}
        self.post("/app/push-address", "mfa-push-address+jwt", {**claims, **({"push": push} if push else {})})

    def revoke(self):
        self.post("/app/revoke", "mfa-revocation+jwt", self._about_itself())


def show(challenges):
    for one in challenges or []:
        context = one["context"]
        demands = ["a number"] * one["number_match"] + [one[name] for name in ("require_user_verification",) if name in one]
        own = (f"{field['name']}: {field['value']}" for field in context.get("fields", []))
        what = " ".join(filter(None, (context.get("application"), context.get("place"), context.get("client_ip"), *own)))
        print(f"{one['challenge_id']}  {one['portal_title']}: {one['purpose']} {what}  {', '.join(demands)}".rstrip())


def main(arguments=None):
    parser = argparse.ArgumentParser(description="An authenticator app for the MFA fleet.")
    parser.add_argument("--state", default="mfa-app.json", help="where the device is kept with its key")
    acts = parser.add_subparsers(dest="act", required=True)
    activate = acts.add_parser("activate", help="with the QR code's text, or the typed code and --url")
    activate.add_argument("code")
    activate.add_argument("--url")
    activate.add_argument("--name", default="Python")
    acts.add_parser("list", help="what waits for an answer")
    approve = acts.add_parser("approve", help="a sign-in that is your own")
    approve.add_argument("id")
    approve.add_argument("--number", help="the digits on the portal's page")
    approve.add_argument("--uv", choices=["pin", "biometric"], help="how you made sure of who holds this device")
    deny = acts.add_parser("deny")
    deny.add_argument("id")
    deny.add_argument("--reason", choices=["not_me", "mistake", "canceled"], default="mistake")
    acts.add_parser("code", help="the present one-time code")
    acts.add_parser("revoke", help="give the device up")
    asked = parser.parse_args(arguments)
    try:
        act(asked)
    except (AppError, OSError) as error:
        sys.exit(f"mfa_app: {error}")


def activate(asked):
    """The key is stored before the code is sent. Where the answer is lost the same key gets in again with the same code."""
    if asked.url:
        url, code = base_url(asked.url), typed(asked.code)
    elif "://" in asked.code:
        url, code = scan(asked.code)
    else:
        raise AppError("a code that is typed needs --url: the URL that the page shows beside it")
    if os.path.exists(asked.state):
        app = App.load(asked.state)
        if "device_id" in app.known:
            raise AppError(f"{asked.state} is a device already")
    else:
        app = App(url, known={"code": code})
        app.save(asked.state)
    begun_with, app.url = (app.url, app.known["code"]), url
    try:
        app.activate(code, asked.name)
    except AppError as error:
        if error.code in VOID and begun_with == (url, code):
            os.remove(asked.state)
            raise
        raise AppError(f"{error}; not activated yet, and {asked.state} has the key: activate again", error.code) from error
    app.save(asked.state)


def act(asked):
    if asked.act == "activate":
        activate(asked)
        return
    app = App.load(asked.state)
    if "device_id" not in app.known:
        raise AppError(f"{asked.state} is not activated yet: activate again")
    if asked.act == "code":
        now = time.time()
        print(one_time_code(app.known["totp"]["secret"], now), f" {30 - int(now) % 30} s")
    elif asked.act == "revoke":
        app.revoke()
        os.remove(asked.state)
    elif asked.act == "list":
        waiting = app.challenges()
        show(waiting)
        for challenge in waiting:
            app.opened(challenge)
    else:
        challenge = next((one for one in app.challenges() if one["challenge_id"] == asked.id), None)
        if challenge is None:
            raise AppError("no such challenge waits: it was answered, called off, or too late")
        said = {"number": asked.number, "uv": asked.uv} if asked.act == "approve" else {"reason": asked.reason}
        decided = app.answer(challenge, asked.act, **said)
        print(f"{decided['result']}: {decided['reason']}")


if __name__ == "__main__":
    main()
