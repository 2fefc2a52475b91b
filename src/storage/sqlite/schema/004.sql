-- What of the history goes: each final state has a line, the oldest first.

-- Why it stands beside its line: '/' and the held scope that it belongs to, or of an event 'heard' if
-- it has deliveries. Given once it is come upon, so that it is not come upon again.
ALTER TABLE deliveries ADD COLUMN aside TEXT;
ALTER TABLE events ADD COLUMN aside TEXT;
-- 1 once what it sent and what was answered is no longer there.
ALTER TABLE deliveries ADD COLUMN emptied INTEGER NOT NULL DEFAULT 0;

DROP INDEX deliveries_by_age;
CREATE INDEX deliveries_by_age ON deliveries (state, emptied, changed_at)
    WHERE claim_at IS NULL AND state <> 6 AND aside IS NULL;
CREATE INDEX deliveries_aside ON deliveries (aside) WHERE aside IS NOT NULL;

DROP INDEX events_by_age;
CREATE INDEX events_by_age ON events (received_at) WHERE aside IS NULL;
CREATE INDEX events_aside ON events (aside) WHERE aside IS NOT NULL AND aside <> 'heard';
