"""Checks one received webhook with PyPI's `standardwebhooks` and writes the verdict down.

Debian's `webhook` server runs this once per request. What comes in, by environment:
    RAW_BODY_FILE      a file with the body exactly as it was received
    WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE
                       the three headers; an absent header leaves its variable unset
    WEBHOOK_SECRET     the secret shared with the sender, `whsec_…`
    RECEIVED_LOG       the file that takes one JSON line per request
What goes out: that line, and exit status 0 only for a verified body.
"""

import json
import os
import sys
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError


def verdict(raw: bytes, headers: dict, secret: str) -> dict:
    try:
        body = Webhook(secret).verify(raw, headers)
    # Beside its own error the library lets through the ValueError of a signature that is
    # not base64, or of a body that is not JSON. None of them is a verified body.
    except (WebhookVerificationError, ValueError) as refusal:
        return {"verified": False, "reason": str(refusal), "type": None, "body": None}
    return {"verified": True, "type": body.get("type"), "body": body}


def append_line(path: str, entry: dict) -> None:
    # One write to a file opened for appending: lines of concurrent requests never mix.
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, (json.dumps(entry) + "\n").encode())
    os.close(log)


def main() -> int:
    raw = Path(os.environ["RAW_BODY_FILE"]).read_bytes()
    headers = {
        "webhook-id": os.environ.get("WEBHOOK_ID", ""),
        "webhook-timestamp": os.environ.get("WEBHOOK_TIMESTAMP", ""),
        "webhook-signature": os.environ.get("WEBHOOK_SIGNATURE", ""),
    }
    found = verdict(raw, headers, os.environ["WEBHOOK_SECRET"])
    append_line(
        os.environ["RECEIVED_LOG"],
        {
            "verified": found["verified"],
            "webhook_id": headers["webhook-id"],
            **found,
            # Kept so that the request can be sent again, unchanged or tampered with.
            "headers": headers,
            "raw": raw.decode(errors="replace"),
        },
    )
    if not found["verified"]:
        print(f"refused: {found['reason']}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
