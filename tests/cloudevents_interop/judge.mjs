// Reads and writes CloudEvents over HTTP with npm's cloudevents, one JSON object a line: as judge.py does.

import { createInterface } from "node:readline";
import { CloudEvent, HTTP } from "cloudevents";

function read({ headers, body }) {
  const told = HTTP.toEvent({ headers, body: Buffer.from(body, "base64").toString() });
  return { events: Array.isArray(told) ? told : [told] };
}

function write({ mode, event }) {
  const { data_base64, ...rest } = event;
  if (data_base64 !== undefined) {
    rest.data = new Uint8Array(Buffer.from(data_base64, "base64"));
  }
  const message = HTTP[mode](new CloudEvent(rest));
  return { headers: message.headers, body: Buffer.from(message.body).toString("base64") };
}

for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  let answer;
  try {
    answer = ask.op === "read" ? read(ask) : write(ask);
  } catch (error) {
    answer = { error: `${error}` };
  }
  console.log(JSON.stringify(answer));
}
