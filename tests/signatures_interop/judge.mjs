// Signs and verifies webhooks with other people's libraries, one JSON object a line: as judge.py does.

import { createInterface } from "node:readline";
import { sign, verify } from "@octokit/webhooks-methods";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const libraries = {
  "npm standardwebhooks": {
    async sign({ secret, id, time, body }) {
      const signature = new Webhook(secret).sign(id, new Date(time * 1000), body.toString());
      return { "webhook-id": id, "webhook-timestamp": `${time}`, "webhook-signature": signature };
    },
    async verify({ secret, headers, body }) {
      try {
        new Webhook(secret).verify(body.toString(), headers);
      } catch (error) {
        // A body that is no JSON is parsed after the signature fitted.
        return !(error instanceof WebhookVerificationError);
      }
      return true;
    },
  },
  "npm @octokit/webhooks-methods": {
    async sign({ secret, body }) {
      return { "x-hub-signature-256": await sign(secret, body.toString()) };
    },
    async verify({ secret, headers, body }) {
      return verify(secret, body.toString(), headers["x-hub-signature-256"]);
    },
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  ask.body = Buffer.from(ask.body, "base64");
  const library = libraries[ask.library];
  const answer =
    ask.op === "sign" ? { headers: await library.sign(ask) } : { accepted: await library.verify(ask) };
  console.log(JSON.stringify(answer));
}
