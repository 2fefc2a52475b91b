-- Times are microseconds since 1970, and the server's. Ids are UUIDs that sort by time.

CREATE TABLE {s}.triggers (
    id       uuid   PRIMARY KEY,
    sequence bigint NOT NULL UNIQUE,  -- of its last change
    scope    text   NOT NULL,
    name     text   NOT NULL,
    revision bigint NOT NULL,
    document bytea                    -- JSON with its secrets; NULL once deleted
);
CREATE UNIQUE INDEX trigger_names ON {s}.triggers (scope, name) WHERE document IS NOT NULL;

CREATE TABLE {s}.events (
    id          uuid   PRIMARY KEY,
    scope       text   NOT NULL,
    received_at bigint NOT NULL,      -- by whoever published it
    aside       text,                 -- why it stands beside its line, as of a delivery, or 'heard'
    document    bytea  NOT NULL
);
CREATE INDEX events_by_age ON {s}.events (received_at, id) WHERE aside IS NULL;
CREATE INDEX events_aside ON {s}.events (aside COLLATE "C") WHERE aside IS NOT NULL AND aside <> 'heard';

CREATE TABLE {s}.endpoints (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key     text   NOT NULL UNIQUE,
    used_at bigint NOT NULL           -- when a node last looked it up, up to an hour late
);

-- Narrow, since a row is written anew with every step of its delivery.
CREATE TABLE {s}.deliveries (
    seq        bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         uuid     NOT NULL UNIQUE,
    message    uuid     NOT NULL,
    event      uuid     NOT NULL,
    trigger_id uuid     NOT NULL,
    endpoint   bigint   NOT NULL,
    claim_at   bigint,                        -- from when on it can be claimed: due, or the lease's end
    token      bigint   NOT NULL DEFAULT 0,   -- of its last lease
    created_at bigint   NOT NULL,             -- by whoever published it
    changed_at bigint   NOT NULL,             -- of one that is queued, when it is to be due
    attempts   bigint   NOT NULL,
    logged     integer  NOT NULL DEFAULT 0,   -- how many attempts are in its log
    state      smallint NOT NULL,
    blocks     boolean,                       -- whether those behind it wait if it is dead
    batched    boolean  NOT NULL,
    emptied    boolean  NOT NULL DEFAULT false,  -- whether its contents were dropped
    ordering   uuid,                          -- what has this key goes one after the other
    reason     text,                          -- why it is dead
    -- Why it stands beside the line of what is pruned next: '/' and the held scope that it belongs to.
    -- Given once it is come upon, so that it is not come upon again.
    aside      text,
    scope      text     NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX claimable ON {s}.deliveries (endpoint, claim_at, id) WHERE claim_at IS NOT NULL;
-- Those that were attempted before the others. Of what goes alone there is nothing in it.
CREATE INDEX deliveries_in_batches ON {s}.deliveries (trigger_id, endpoint, (attempts = 0), claim_at, id)
    WHERE batched AND claim_at IS NOT NULL;
-- Without those that are delivered or cancelled, which nobody waits for.
CREATE INDEX deliveries_in_order ON {s}.deliveries (ordering, state, seq)
    WHERE ordering IS NOT NULL AND state IN (0, 1, 3, 5, 6);
CREATE INDEX deliveries_by_age ON {s}.deliveries (state, emptied, changed_at, seq)
    WHERE claim_at IS NULL AND aside IS NULL;
CREATE INDEX deliveries_aside ON {s}.deliveries (aside COLLATE "C") WHERE aside IS NOT NULL;
CREATE INDEX deliveries_to_replay ON {s}.deliveries (id) WHERE state IN (3, 5);
CREATE INDEX deliveries_of_event ON {s}.deliveries (event, id);
CREATE INDEX deliveries_of_trigger ON {s}.deliveries (trigger_id, id);

-- What a delivery sends, written once.
CREATE TABLE {s}.payloads (
    delivery bigint PRIMARY KEY,
    headers  text   NOT NULL,  -- JSON: [[name, value], …]
    body     bytea  NOT NULL
);

CREATE TABLE {s}.attempts (
    delivery    bigint  NOT NULL,
    position    integer NOT NULL,
    number      bigint  NOT NULL,
    started_at  bigint  NOT NULL,
    ended_at    bigint  NOT NULL,
    class       text    NOT NULL,
    retry_after bigint,            -- microseconds
    status      integer,
    error       text,
    response    text,
    PRIMARY KEY (delivery, position)
);

CREATE TABLE {s}.cursors (
    key   text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- What transactions of the embedder's leave to be published.
CREATE TABLE {s}.outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key      uuid   NOT NULL DEFAULT gen_random_uuid(),
    event    text   NOT NULL                  -- the JSON of an event
);
-- What could not be published, and why.
CREATE TABLE {s}.outbox_refused (
    position bigint PRIMARY KEY,
    key      uuid   NOT NULL,
    event    text   NOT NULL,
    reason   text   NOT NULL
);
-- Who may take entries, until when.
CREATE TABLE {s}.outbox_lease (
    one       boolean PRIMARY KEY CHECK (one),
    taker     uuid    NOT NULL,
    lasts_til bigint  NOT NULL
);

-- Leaves an event, in whatever transaction is under way and in whatever language. What can be told of a
-- mistake at once is told at once; the rest is found by whoever takes it.
CREATE FUNCTION {s}.record_event(event jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    member text;
    place  bigint;
BEGIN
    IF jsonb_typeof(record_event.event) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'event: expected an object, found %',
            coalesce(jsonb_typeof(record_event.event), 'nothing') USING ERRCODE = '22023';
    END IF;
    FOREACH member IN ARRAY ARRAY['kind', 'occurred_at'] LOOP
        IF jsonb_typeof(record_event.event -> member) IS DISTINCT FROM 'string' THEN
            RAISE EXCEPTION '%: expected a string, found %', member,
                coalesce(jsonb_typeof(record_event.event -> member), 'nothing')
                USING ERRCODE = '22023';
        END IF;
    END LOOP;
    INSERT INTO {s}.outbox AS o (event) VALUES (record_event.event::text) RETURNING o.position INTO place;
    RETURN place;
END
$$;
