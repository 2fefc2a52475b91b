-- Deliveries that may go in one request with others of their trigger.

ALTER TABLE deliveries ADD COLUMN batched INTEGER;  -- 1, or NULL if it goes alone

-- Those that were attempted before the others. Of what goes alone there is nothing in it.
CREATE INDEX deliveries_in_batches ON deliveries (trigger_id, endpoint, attempts = 0, claim_at, id)
    WHERE batched = 1 AND claim_at IS NOT NULL;
