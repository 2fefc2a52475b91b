"""Signs and verifies webhooks with other people's libraries, one JSON object a line.

In: {"library", "op": "sign" | "verify", "secret", "id", "time", "headers", "body" (base64), "url"}.
Out: {"headers"} of what was signed, or {"accepted"}. `library` is a key of LIBRARIES.
"""

import base64
import hashlib
import json
import sys
from datetime import datetime, timedelta, timezone

import requests
import standardwebhooks
import stripe
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric import ed25519
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)


class StandardWebhooks:
    """`standardwebhooks` and `svix`: a class each of the same shape."""

    def __init__(self, webhook, refusal):
        self.webhook, self.refusal = webhook, refusal

    def sign(self, ask):
        moment = datetime.fromtimestamp(ask["time"], tz=timezone.utc)
        signature = self.webhook(ask["secret"]).sign(ask["id"], moment, ask["body"].decode())
        return {
            "webhook-id": ask["id"],
            "webhook-timestamp": str(ask["time"]),
            "webhook-signature": signature,
        }

    def verify(self, ask):
        try:
            self.webhook(ask["secret"]).verify(ask["body"], ask["headers"])
        # Beside its own error it lets through the ValueError of a signature that is no base64, and
        # of an entry without a comma. That of a body that is no JSON comes after the signature fitted.
        except json.JSONDecodeError:
            return True
        except (self.refusal, ValueError):
            return False
        return True


class Stripe:
    def sign(self, ask):
        payload = f"{ask['time']}.{ask['body'].decode()}"
        mac = stripe.WebhookSignature._compute_signature(payload, ask["secret"])
        return {"stripe-signature": f"t={ask['time']},v1={mac}"}

    def verify(self, ask):
        header = ask["headers"].get("stripe-signature")
        try:
            stripe.WebhookSignature.verify_header(ask["body"], header, ask["secret"], 300)
        except (stripe.SignatureVerificationError, ValueError):
            return False
        return True


class Keys(HTTPSignatureKeyResolver):
    def __init__(self, public, private):
        self.public, self.private = public, private

    def resolve_public_key(self, key_id):
        return self.public

    def resolve_private_key(self, key_id):
        return self.private


class HttpMessage:
    """RFC 9421 by `http-message-signatures`; the digest is checked by hashlib besides."""

    COVERED = ("@method", "@target-uri", "content-digest", "content-type", "webhook-id")

    def __init__(self, algorithm, keys):
        self.algorithm, self.keys = algorithm, keys

    def request(self, ask, headers):
        return requests.Request("POST", ask["url"], data=ask["body"], headers=headers).prepare()

    @staticmethod
    def digest(body):
        return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"

    def sign(self, ask):
        headers = {"content-type": "application/json", "webhook-id": ask["id"]}
        made = self.request(ask, headers)
        signer = HTTPMessageSigner(
            signature_algorithm=self.algorithm, key_resolver=self.keys(ask["secret"])
        )
        signer.sign(
            made,
            key_id="key",
            created=datetime.fromtimestamp(ask["time"], tz=timezone.utc),
            covered_component_ids=self.COVERED,
            body=ask["body"],
        )
        names = [*headers, "Content-Digest", "Signature-Input", "Signature"]
        return {name: made.headers[name] for name in names}

    def verify(self, ask):
        if ask["headers"].get("content-digest") != self.digest(ask["body"]):
            return False
        verifier = HTTPMessageVerifier(
            signature_algorithm=self.algorithm, key_resolver=self.keys(ask["secret"])
        )
        try:
            results = verifier.verify(
                self.request(ask, ask["headers"]), max_age=timedelta(minutes=5)
            )
        # What is wrong with the fields themselves it tells by errors of its own and of others.
        except Exception:
            return False
        covered = {component.strip('"') for result in results for component in result.covered_components}
        return covered >= set(self.COVERED)


def shared(secret):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return Keys(key, key)


def pair(secret):
    seed = base64.b64decode(secret.removeprefix("whsk_"))[:32]
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    return Keys(private.public_key(), private)


LIBRARIES = {
    "PyPI standardwebhooks": StandardWebhooks(
        standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError
    ),
    "PyPI svix": StandardWebhooks(svix.webhooks.Webhook, svix.webhooks.WebhookVerificationError),
    "PyPI stripe": Stripe(),
    "PyPI http-message-signatures": HttpMessage(algorithms.HMAC_SHA256, shared),
    "PyPI http-message-signatures, ed25519": HttpMessage(algorithms.ED25519, pair),
}

for line in sys.stdin:
    ask = json.loads(line)
    ask["body"] = base64.b64decode(ask["body"])
    library = LIBRARIES[ask["library"]]
    if ask["op"] == "sign":
        answer = {"headers": library.sign(ask)}
    else:
        answer = {"accepted": library.verify(ask)}
    print(json.dumps(answer), flush=True)
