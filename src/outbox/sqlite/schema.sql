CREATE TABLE IF NOT EXISTS artifact_triggers_outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT CHECK (position > 0),
    key      BLOB NOT NULL DEFAULT (randomblob(16)),
    event    TEXT NOT NULL                       -- the JSON of an event
);
-- What could not be published, and why.
CREATE TABLE IF NOT EXISTS artifact_triggers_outbox_refused (
    position INTEGER PRIMARY KEY,
    key      BLOB NOT NULL,
    event    TEXT NOT NULL,
    reason   TEXT NOT NULL
);
-- Who may take entries, until when (in microseconds since 1970).
CREATE TABLE IF NOT EXISTS artifact_triggers_outbox_lease (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    taker     BLOB NOT NULL,
    lasts_til INTEGER NOT NULL
);
