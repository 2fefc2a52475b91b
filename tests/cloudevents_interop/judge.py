"""Reads and writes CloudEvents over HTTP with PyPI's cloudevents, one JSON object a line.

In: {"op": "read", "headers", "body" (base64)} or {"op": "write", "mode": "binary" | "structured",
"event"}. Out: {"events"} in the JSON format, {"headers", "body"} or {"error"}.
"""

import base64
import json
import sys
from datetime import datetime

from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent


def read(ask):
    message = http.HTTPMessage(headers=ask["headers"], body=base64.b64decode(ask["body"]))
    event = http.from_http_event(message)
    told = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in event.get_attributes().items()
    }
    data = event.get_data()
    if isinstance(data, bytes):
        told["data_base64"] = base64.b64encode(data).decode()
    elif data is not None:
        told["data"] = data
    return {"events": [told]}


def write(ask):
    attributes = dict(ask["event"])
    data = attributes.pop("data", None)
    if "data_base64" in attributes:
        data = base64.b64decode(attributes.pop("data_base64"))
    attributes["time"] = datetime.fromisoformat(attributes["time"].replace("Z", "+00:00"))
    event = CloudEvent(attributes, data)
    make = http.to_binary_event if ask["mode"] == "binary" else http.to_structured_event
    message = make(event)
    return {"headers": message.headers, "body": base64.b64encode(message.body).decode()}


for line in sys.stdin:
    ask = json.loads(line)
    try:
        answer = {"read": read, "write": write}[ask["op"]](ask)
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
