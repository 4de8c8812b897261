-- How far each node's spool has been drained. Kept here, in the transactions that drain, so that what was drained is
-- stored and counted once, whatever dies in between.
CREATE TABLE spools (
    spool uuid PRIMARY KEY,
    drained bigint NOT NULL                             -- one past the last sequence
);

-- What became of flushes whose outcome their writers never learned, and whose events went to a spool.
CREATE TABLE lost_flushes (
    stream bigint NOT NULL,
    flush bigint NOT NULL,
    stored boolean NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, flush)
);

-- Registers a spool that knows itself to be drained up to `in_drained`; returns how far it really is.
CREATE FUNCTION open_spool(in_spool uuid, in_drained bigint) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO spools VALUES (in_spool, in_drained)
      ON CONFLICT (spool) DO UPDATE SET drained = greatest(spools.drained, excluded.drained) RETURNING drained
$$;

-- Moves a spool's position, in the transaction that stores what is between. A flush that is sent again because its
-- first try's outcome was unknown, and which had committed, changes nothing and gets false. Anything else that does not
-- begin where the position is raises MR005: another process has drained it.
CREATE FUNCTION advance_spool(in_spool uuid, in_from bigint, in_to bigint, in_stream bigint, in_flush bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE spools SET drained = in_to WHERE spool = in_spool AND drained = in_from;
    IF FOUND THEN RETURN true; END IF;
    IF EXISTS (SELECT FROM streams WHERE stream = in_stream AND flush >= in_flush) THEN RETURN false; END IF;
    RAISE EXCEPTION 'the spool is not drained to %', in_from USING ERRCODE = 'MR005';
END $$;

-- Says whether a flush was committed whose outcome is unknown, and makes sure that it never is if it was not: its number
-- is used up, or its stream is gone. To be asked before its stream goes on; the answer stays.
CREATE FUNCTION find_flush(in_stream bigint, in_flush bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    answer boolean;
BEGIN
    SELECT stored INTO answer FROM lost_flushes WHERE stream = in_stream AND flush = in_flush;
    IF FOUND THEN RETURN answer; END IF;
    UPDATE streams SET flush = in_flush WHERE stream = in_stream AND flush < in_flush;
    answer := NOT FOUND AND (EXISTS (SELECT FROM streams WHERE stream = in_stream)
        OR EXISTS (SELECT FROM ended_streams WHERE stream = in_stream AND flush >= in_flush));
    INSERT INTO lost_flushes (stream, flush, stored) VALUES (in_stream, in_flush, answer) ON CONFLICT DO NOTHING;
    DELETE FROM lost_flushes WHERE found_at < now() - interval '90 days';
    RETURN answer;
END $$;

-- Makes the day in which a reject is kept that is older, or newer, than the days there are: it may come out of a spool
-- weeks after it was received, or from a node whose clock is wrong.
CREATE FUNCTION make_reject_day(in_time timestamptz) RETURNS void LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    day date := in_time::date;
    part text := 'rejects_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('millrace partitions of rejects', 0));
    IF to_regclass(part) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %I (LIKE rejects INCLUDING ALL EXCLUDING IDENTITY)', part);
    EXECUTE format('ALTER TABLE rejects ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        part, day::timestamptz, (day + 1)::timestamptz);
END $$;

-- How far the streams had got that nodes which are gone have left: a spool may still ask after one of their flushes.
CREATE TABLE ended_streams (
    stream bigint PRIMARY KEY,
    flush bigint NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now()
);

-- As in 0002, with a note of how far each stream had got.
CREATE OR REPLACE FUNCTION bury_node(in_epoch uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stream FROM streams WHERE epoch = in_epoch ORDER BY stream FOR UPDATE;
    PERFORM cut_stream(stream) FROM streams WHERE epoch = in_epoch ORDER BY stream;
    WITH gone AS (DELETE FROM streams WHERE epoch = in_epoch RETURNING *),
         noted AS (INSERT INTO ended_streams (stream, flush) SELECT stream, flush FROM gone),
         sums AS (SELECT coalesce(sum(received), 0) AS received, coalesce(sum(stored), 0) AS stored,
                         coalesce(sum(duplicates), 0) AS duplicates, coalesce(sum(rejected), 0) AS rejected,
                         coalesce(sum(bytes), 0) AS bytes FROM gone)
      UPDATE totals t SET received = t.received + s.received, stored = t.stored + s.stored,
             duplicates = t.duplicates + s.duplicates, rejected = t.rejected + s.rejected, bytes = t.bytes + s.bytes
        FROM sums s;
    DELETE FROM ended_streams WHERE ended_at < now() - interval '90 days';
    DELETE FROM nodes WHERE epoch = in_epoch;
END $$;
