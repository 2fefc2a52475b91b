-- Deliveries that go one after the other.

ALTER TABLE deliveries ADD COLUMN ordering BLOB;     -- what has this key goes one after the other
ALTER TABLE deliveries ADD COLUMN blocks   INTEGER;  -- whether those behind it wait if it is dead

-- (`changed_at` of one that is queued is when it is to be due.)
-- Without those that are delivered or cancelled, which nobody waits for.
CREATE INDEX deliveries_in_order ON deliveries (ordering, state, seq)
    WHERE ordering IS NOT NULL AND state IN (0, 1, 3, 5, 6);

-- What is queued can be claimed as little as what is final, and is not old.
DROP INDEX deliveries_by_age;
CREATE INDEX deliveries_by_age ON deliveries (changed_at) WHERE claim_at IS NULL AND state <> 6;
