"""The app against the protocol's test vectors: what it reads, and what it signs. No fleet is needed."""

import base64
import contextlib
import io
import json
import pathlib
import tempfile
import unittest
from unittest import mock

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

import mfa_app

VECTORS = json.loads((pathlib.Path(__file__).parents[3] / "shared/contracts/app/vectors.json").read_text(encoding="utf-8"))


def number(text):
    return int.from_bytes(decoded(text), "big")


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def is_signed(jwk, jws):
    """Whether a compact JWS bears the signature of this key, by the cryptography library alone."""
    signed, signature = jws.rsplit(".", 1)
    signed, signature = signed.encode("ascii"), decoded(signature)
    try:
        if jwk["kty"] == "OKP":
            ed25519.Ed25519PublicKey.from_public_bytes(decoded(jwk["x"])).verify(signature, signed)
        else:
            public = ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), ec.SECP256R1()).public_key()
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False


def app():
    """The app with the vectors' ES256 key."""
    known = VECTORS["keys"]["es256"]
    public = ec.EllipticCurvePublicNumbers(number(known["jwk"]["x"]), number(known["jwk"]["y"]), ec.SECP256R1())
    key = ec.EllipticCurvePrivateNumbers(number(known["jwk"]["d"]), public).private_key()
    return mfa_app.App(VECTORS["base_url"], key, {"device_id": known["device_id"]})


class Vectors(unittest.TestCase):
    def test_every_vector_says_what_it_names_and_is_signed_unless_it_is_a_forgery(self):
        forged = 0
        for vector in VECTORS["messages"]:
            with self.subTest(vector["name"]):
                header, claims = (decoded(part).decode("utf-8") for part in vector["jws"].split(".")[:2])
                self.assertEqual((header, claims), (vector["header"], vector["claims"]))
                signed = is_signed(VECTORS["keys"][vector["key"]]["jwk"], vector["jws"])
                forged += not signed
                self.assertTrue(signed or vector.get("code") == "unauthorized")
        self.assertEqual(forged, 5)

    def test_the_app_says_what_the_vectors_say(self):
        challenge = dict(VECTORS["challenge"], answer_by="2026-11-24T09:32:00.000Z")
        push = {"token": "fcm-registration-token"}, {"fid": "firebase-installation-id"}
        new = app()
        new.known = {}
        for device, name, act in (
            (app(), "list, ES256", lambda device: device.challenges()),
            (app(), "opened, ES256", lambda device: device.opened(challenge)),
            (app(), "approve with number and PIN, ES256", lambda device: device.answer(challenge, "approve", number="47", uv="pin")),
            (app(), "deny as fraud, ES256", lambda device: device.answer(challenge, "deny", reason="not_me")),
            (app(), "push address, ES256", lambda device: device.push_address(push[1], VECTORS["now"] * 1000)),
            (app(), "give up, ES256", lambda device: device.revoke()),
            (new, "activate to poll only", lambda device: device.activate("0f9ZvDk0TRiZ6YbRk1PTcg", "Avery's phone")),
        ):
            with self.subTest(name):
                sent = []
                take = lambda method, path, headers, body=None: sent.append((method, path, headers, body)) or {"challenges": []}
                with mock.patch.object(device, "_send", take), mock.patch("time.time", lambda: VECTORS["now"]):
                    act(device)
                (method, path, headers, body), = sent
                vector = next(one for one in VECTORS["messages"] if one["name"] == name)
                self.assertEqual((method, path), (vector["method"], vector["path"]))
                jws = body or headers["Authorization"].removeprefix("Device ")
                header, claims = (json.loads(decoded(part)) for part in jws.split(".")[:2])
                expected = json.loads(vector["claims"])
                if "jti" in claims:
                    self.assertTrue(claims.pop("jti") and expected.pop("jti"))
                self.assertEqual((header, claims), (json.loads(vector["header"]), expected))
                self.assertTrue(is_signed(VECTORS["keys"]["es256"]["jwk"], jws))
                if body:
                    self.assertEqual(headers, {"Content-Type": "application/jose"})

    def test_qr_codes_typed_codes_and_one_time_codes(self):
        for code in VECTORS["qr_codes"]:
            with self.subTest(code["text"]):
                if "code" in code:
                    self.assertEqual(mfa_app.scan(code["text"]), (code["url"], code["code"]))
                else:
                    self.assertRaises(mfa_app.AppError, mfa_app.scan, code["text"])
        for code in VECTORS["typed_codes"]:
            with self.subTest(code["typed"]):
                if code["valid"]:
                    self.assertEqual(mfa_app.typed(code["typed"]), "7KQ29XWM4RTA")
                else:
                    self.assertRaises(mfa_app.AppError, mfa_app.typed, code["typed"])
        for code in VECTORS["one_time_codes"]["codes"]:
            self.assertEqual(mfa_app.one_time_code(VECTORS["one_time_codes"]["secret"], code["time"]), code["code"])

    def test_a_device_is_stored_for_its_owner_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "device.json")
            app().save(path)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.assertEqual(mfa_app.App.load(path).known, app().known)
            path.chmod(0o640)
            self.assertRaises(mfa_app.AppError, mfa_app.App.load, path)
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                mfa_app.main(["--state", str(path), "list"])

    def test_an_activation_whose_answer_was_lost_goes_on_with_the_key_in_its_file(self):
        lost, refused = mfa_app.AppError("no answer"), mfa_app.AppError("used", "activation_used")
        keys = []

        def answering(*answers):
            answers = list(answers)

            def send(method, path, headers, body=None):
                keys.append(json.loads(decoded(body.split(".")[0]))["jwk"])
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer

            return mock.patch.object(mfa_app.App, "_send", lambda self, *sent: send(*sent))

        def run(path, *arguments):
            with contextlib.redirect_stderr(io.StringIO()):
                try:
                    mfa_app.main(["--state", str(path), *arguments])
                except SystemExit as end:
                    return str(end)
            return ""

        code = next(code["text"] for code in VECTORS["qr_codes"] if "code" in code)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "device.json")
            pathlib.Path(folder, "device.json.new").write_text("left over", encoding="utf-8")
            with answering(lost, {"device_id": "1"}):
                self.assertIn("activate again", run(path, "activate", code))
                self.assertIn("not activated yet", run(path, "list"))
                self.assertEqual(run(path, "activate", code), "")
            self.assertEqual(keys[0], keys[1])
            self.assertIn("is a device already", run(path, "activate", code))
            path.unlink()
            with answering(refused):
                self.assertIn("used", run(path, "activate", code))
            self.assertFalse(path.exists())
            self.assertIn("needs --url", run(path, "activate", "7KQ2-9XWM-4RTA"))
            with mock.patch.object(mfa_app.App, "save", side_effect=OSError("read-only")), answering():
                self.assertIn("read-only", run(path, "activate", code))


if __name__ == "__main__":
    unittest.main()
