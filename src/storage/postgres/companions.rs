//! Companions: what may go in one request with others, each kind of it one look into the index
//! `deliveries_in_batches`.

/// Selects what is given: `$4` the trigger, `$5` the endpoint's key, `$6` by when after now those
/// that were not attempted may be due, `$7` how many, `$8` how many bytes their bodies may take.
pub(super) const DUE: &str = "
    SELECT seq, claim_at, place
    FROM (
        SELECT l.seq, l.claim_at, l.place, sum(octet_length(p.body)) OVER (ORDER BY l.place) AS bytes
        FROM (
            SELECT d.seq, d.claim_at, c.place
            FROM (
                SELECT c.seq, c.claim_at, row_number() OVER (ORDER BY c.rank, c.claim_at, c.id) AS place
                FROM (SELECT t.now + $3 AS due_by, t.now + $6 AS until, (
                          SELECT e.id FROM {s}.endpoints e WHERE e.key = $5) AS endpoint FROM t) AS a
                CROSS JOIN LATERAL (
                    (SELECT 1 AS rank, d.seq, d.claim_at, d.id FROM {s}.deliveries d
                     WHERE d.batched AND d.trigger_id = $4 AND d.endpoint = a.endpoint
                         AND (d.attempts = 0) = true AND d.claim_at > a.due_by AND d.claim_at <= a.until
                     ORDER BY d.claim_at, d.id LIMIT $7)
                    UNION ALL
                    (SELECT 2, d.seq, d.claim_at, d.id FROM {s}.deliveries d
                     WHERE d.batched AND d.trigger_id = $4 AND d.endpoint = a.endpoint
                         AND (d.attempts = 0) = false AND d.claim_at <= a.due_by
                     ORDER BY d.claim_at, d.id LIMIT $7)
                    UNION ALL
                    (SELECT 3, d.seq, d.claim_at, d.id FROM {s}.deliveries d
                     WHERE d.batched AND d.trigger_id = $4 AND d.endpoint = a.endpoint
                         AND (d.attempts = 0) = true AND d.claim_at <= a.due_by
                     ORDER BY d.claim_at, d.id LIMIT $7)) AS c
                LIMIT $7) AS c
            JOIN {s}.deliveries d ON d.seq = c.seq AND d.claim_at = c.claim_at
            FOR UPDATE OF d SKIP LOCKED) AS l
        JOIN {s}.payloads p ON p.delivery = l.seq) AS b
    WHERE bytes <= $8";
