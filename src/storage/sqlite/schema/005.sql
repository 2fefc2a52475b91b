-- Leases are in memory alone: a delivery that is leased is stored as it was before.

UPDATE deliveries SET state = 0, claim_at = 0 WHERE state = 1;
ALTER TABLE deliveries DROP COLUMN token;

DROP INDEX deliveries_in_order;
CREATE INDEX deliveries_in_order ON deliveries (ordering, state, seq)
    WHERE ordering IS NOT NULL AND state IN (0, 3, 5, 6);

-- How often the file was opened: tokens of leases begin with it, so that none comes again.
CREATE TABLE openings (count INTEGER NOT NULL) STRICT;
INSERT INTO openings VALUES (0);

-- How many attempts are in its log, so that the next one's place is known without a look.
ALTER TABLE deliveries ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET logged = (SELECT max(position) FROM attempts WHERE delivery = seq)
    WHERE seq IN (SELECT delivery FROM attempts);
