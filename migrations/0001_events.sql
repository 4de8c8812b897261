-- Events, what makes them unique, what was refused, and who writes.
--
-- Rules that hold from the first day, free on one PostgreSQL and needed on a cluster: the bucket stands in every unique
-- key and is never updated; no triggers, no foreign keys; times in UPDATE are parameters or now().

-- One row an event. `ts`, the partition key, is the event's time and a function of the request alone, so that the same
-- event sent again meets itself (README, "Once").
CREATE TABLE events (
    key uuid NOT NULL,                -- the id that the server made, else 128 bits of SHA-256(source, 0, id)
    ts timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    subject text,
    id text,                          -- the client's id; null when the key is the id
    attributes jsonb,                 -- extensions, datacontenttype, dataschema, specversion; null when there are none
    data jsonb,
    data_bytes bytea,                 -- the decoded data_base64
    seq bigint NOT NULL,              -- the writer's stream in the high bits, the event's number in it below
    bucket smallint NOT NULL,         -- 0..63, of the key
    PRIMARY KEY (ts, key, bucket)
) PARTITION BY RANGE (ts);

-- The key's data comes in hash order: fewer full pages are split when time leads.
CREATE INDEX events_type_ts ON events (type, ts, key);
CREATE INDEX events_received_at ON events USING brin (received_at);
-- Cuts are read back by `seq` when their writer is gone; several streams interleave, hence the several ranges a page.
CREATE INDEX events_seq ON events USING brin (seq int8_minmax_multi_ops) WITH (pages_per_range = 16);
-- One event by its id alone: rare, so it pays at the read and not at the write.
CREATE INDEX events_id ON events USING brin (id text_bloom_ops) WITH (pages_per_range = 32);
CREATE INDEX events_key ON events USING brin (key uuid_bloom_ops) WITH (pages_per_range = 32);

-- Events whose time is our own clock's: their key alone decides, within the dedup window. Two generations; the older
-- one is emptied and the two change places when the window has passed.
CREATE TABLE event_keys (
    key uuid NOT NULL,
    bucket smallint NOT NULL,
    ts timestamptz NOT NULL,
    PRIMARY KEY (key, bucket)
);
CREATE TABLE event_keys_previous (LIKE event_keys INCLUDING ALL);
CREATE TABLE event_keys_rotation (singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), rotated_at timestamptz NOT NULL);
INSERT INTO event_keys_rotation (rotated_at) VALUES (now());

-- Events that were refused, whole: nothing is dropped without a trace.
CREATE TABLE rejects (
    n bigint GENERATED ALWAYS AS IDENTITY,
    received_at timestamptz NOT NULL,
    id text,
    code text NOT NULL,
    pointer text NOT NULL,
    detail text NOT NULL,
    raw bytea NOT NULL,
    request_id text NOT NULL,
    replayed_at timestamptz,
    PRIMARY KEY (received_at, n)
) PARTITION BY RANGE (received_at);
CREATE INDEX rejects_id ON rejects (id) WHERE id IS NOT NULL;

-- One row a process that is alive, named by an epoch of its own: every start is a new one.
CREATE TABLE nodes (
    epoch uuid PRIMARY KEY,
    name text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz NOT NULL DEFAULT now(),
    ttl interval NOT NULL DEFAULT '15 s',
    draining boolean NOT NULL DEFAULT false
);

CREATE SEQUENCE stream_numbers AS bigint MINVALUE 1 MAXVALUE 8388607;

-- One row a writer: how far it has written and cut, and what it has counted. Only its own writer updates it, in the
-- transaction of each flush; so totals need no table of their own, and a flush that is sent twice counts once.
CREATE TABLE streams (
    stream bigint PRIMARY KEY,
    epoch uuid NOT NULL,
    flush bigint NOT NULL DEFAULT 0,       -- the number of the last flush
    cut bigint NOT NULL,                   -- the first seq that no job covers yet
    written bigint NOT NULL,               -- the first seq that no flush has used yet
    ts_min timestamptz,                    -- of what was stored since the last cut
    ts_max timestamptz,
    received bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX streams_epoch ON streams (epoch);

-- What the streams of nodes that are gone had counted.
CREATE TABLE totals (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    received bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0
);
INSERT INTO totals DEFAULT VALUES;
