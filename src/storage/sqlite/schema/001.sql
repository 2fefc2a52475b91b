-- Times are microseconds since 1970. Ids are 16 bytes that sort by time.

CREATE TABLE triggers (
    id       BLOB    PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,  -- of its last change
    scope    TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    document BLOB                      -- JSON with its secrets; NULL once deleted
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX trigger_names ON triggers (scope, name) WHERE document IS NOT NULL;

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE,
    scope       TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    document    BLOB    NOT NULL
) STRICT;
CREATE INDEX events_by_age ON events (received_at);

CREATE TABLE endpoints (
    id  INTEGER PRIMARY KEY,
    key TEXT    NOT NULL UNIQUE
) STRICT;

-- Narrow, since a row is rewritten with every step of its delivery.
CREATE TABLE deliveries (
    seq        INTEGER PRIMARY KEY,
    id         BLOB    NOT NULL UNIQUE,
    message    BLOB    NOT NULL,
    event      BLOB    NOT NULL,
    trigger_id BLOB    NOT NULL,
    scope      TEXT    NOT NULL,
    endpoint   INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    reason     TEXT,                       -- why it is dead
    claim_at   INTEGER,                    -- from when on it can be claimed: due, or the lease's end
    attempts   INTEGER NOT NULL,
    token      INTEGER NOT NULL DEFAULT 0, -- of its last lease
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX claimable ON deliveries (endpoint, claim_at, id) WHERE claim_at IS NOT NULL;
CREATE INDEX deliveries_by_age ON deliveries (changed_at) WHERE claim_at IS NULL;
CREATE INDEX deliveries_to_replay ON deliveries (id) WHERE state IN (3, 5);
CREATE INDEX deliveries_of_event ON deliveries (event, id);
CREATE INDEX deliveries_of_trigger ON deliveries (trigger_id, id);

-- What a delivery sends, written once.
CREATE TABLE payloads (
    delivery INTEGER PRIMARY KEY REFERENCES deliveries (seq) ON DELETE CASCADE,
    headers  TEXT NOT NULL,  -- JSON: [[name, value], …]
    body     BLOB NOT NULL
) STRICT;

CREATE TABLE attempts (
    delivery    INTEGER NOT NULL REFERENCES deliveries (seq) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    class       TEXT    NOT NULL,
    retry_after INTEGER,           -- microseconds
    status      INTEGER,
    error       TEXT,
    response    TEXT,
    PRIMARY KEY (delivery, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
