-- Accounts: what came in, by the minute of its receipt, its way in and its key, and what became of it. They are written
-- in the transaction of each flush, so that received = stored + duplicates + rejected holds for every row at every
-- moment, and their sums are those of `streams` and `totals`, whatever dies or is sent again.

-- Each writer updates only rows of its own stream, so none waits for another; the streams of nodes that are gone leave
-- their rows as they are, for there would be no fewer of them under another number. Rows of the last minutes are updated
-- with every flush: there is room for that in their pages, and no index holds a count, so that their pages stay few.
CREATE TABLE accounts (
    minute timestamptz NOT NULL,                        -- of receipt; of stream 0 a day, see fold_accounts
    stream bigint NOT NULL,                             -- 0: of days, and of what was stored before there were accounts
    route text NOT NULL,                                -- the way in: events, replay; unknown: an older version's flush
    key_id bigint NOT NULL,                             -- 0: without a key
    received bigint NOT NULL,
    stored bigint NOT NULL,
    duplicates bigint NOT NULL,
    rejected bigint NOT NULL,                           -- a replay takes away what it moves to stored or duplicates
    bytes bigint NOT NULL,
    PRIMARY KEY (minute, stream, route, key_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- A flush that has begun counts the old way, and none may be left when its sum is taken below. It stores before it
-- counts, so it waits here, if at all, before it has called the old function.
LOCK TABLE events, rejects, streams IN SHARE ROW EXCLUSIVE MODE;

-- As in 0005, with the flush's accounts in parallel arrays. What comes from a node of an older version, which names
-- none, goes to an account of the route `unknown`.
DROP FUNCTION end_flush(bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, timestamptz, timestamptz, boolean,
    boolean, text);
CREATE FUNCTION end_flush(
    in_stream bigint, in_flush bigint, in_hi bigint, in_offered bigint, in_stored bigint, in_duplicates bigint,
    in_rejected bigint, in_bytes bigint, in_ts_min timestamptz, in_ts_max timestamptz, in_cut boolean,
    in_is_first boolean, in_traceparent text DEFAULT NULL,
    in_minutes timestamptz[] DEFAULT NULL, in_routes text[] DEFAULT NULL, in_keys bigint[] DEFAULT NULL,
    in_offers bigint[] DEFAULT NULL, in_stores bigint[] DEFAULT NULL, in_repeats bigint[] DEFAULT NULL,
    in_rejects bigint[] DEFAULT NULL, in_sizes bigint[] DEFAULT NULL
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s streams;
BEGIN
    UPDATE streams SET
        flush = in_flush, written = in_hi,
        ts_min = least(ts_min, in_ts_min), ts_max = greatest(ts_max, in_ts_max),
        traceparent = coalesce(traceparent, CASE WHEN in_stored > 0 THEN in_traceparent END),
        received = received + in_offered + in_duplicates + in_rejected,
        stored = streams.stored + in_stored,
        duplicates = streams.duplicates + in_offered - in_stored + in_duplicates,
        rejected = streams.rejected + in_rejected,
        bytes = streams.bytes + in_bytes
      WHERE stream = in_stream AND flush < in_flush
      RETURNING * INTO s;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM streams WHERE stream = in_stream) THEN
            RAISE EXCEPTION 'stream % is gone: this node was declared dead', in_stream USING ERRCODE = 'MR001';
        END IF;
        IF in_is_first OR in_stored > 0 THEN
            RAISE EXCEPTION 'flush % of stream % comes too late', in_flush, in_stream USING ERRCODE = 'MR002';
        END IF;
        RETURN false;
    END IF;
    IF in_keys IS NULL THEN
        in_minutes := ARRAY[date_trunc('minute', now())];
        in_routes := ARRAY['unknown'];
        in_keys := ARRAY[0];
        in_offers := ARRAY[in_offered];
        in_stores := ARRAY[in_stored];
        in_repeats := ARRAY[in_duplicates];
        in_rejects := ARRAY[in_rejected];
        in_sizes := ARRAY[in_bytes];
    END IF;
    FOR i IN 1..cardinality(in_keys) LOOP
        -- Not ON CONFLICT: nobody else writes rows of this stream, and the row is there but once a minute.
        UPDATE accounts SET
            received = received + in_offers[i] + in_repeats[i] + in_rejects[i],
            stored = stored + in_stores[i],
            duplicates = duplicates + in_offers[i] - in_stores[i] + in_repeats[i],
            rejected = rejected + in_rejects[i],
            bytes = bytes + in_sizes[i]
          WHERE minute = in_minutes[i] AND stream = in_stream AND route = in_routes[i] AND key_id = in_keys[i];
        IF NOT FOUND THEN
            INSERT INTO accounts VALUES (in_minutes[i], in_stream, in_routes[i], in_keys[i],
                in_offers[i] + in_repeats[i] + in_rejects[i], in_stores[i],
                in_offers[i] - in_stores[i] + in_repeats[i], in_rejects[i], in_sizes[i]);
        END IF;
    END LOOP;
    IF in_cut THEN PERFORM cut_stream(in_stream); END IF;
    RETURN true;
END $$;

-- What was counted before there were accounts, and belongs to no minute.
INSERT INTO accounts
    SELECT 'epoch', 0, 'unknown', 0, sum(received), sum(stored), sum(duplicates), sum(rejected), sum(bytes)
      FROM (SELECT received, stored, duplicates, rejected, bytes FROM streams
            UNION ALL SELECT received, stored, duplicates, rejected, bytes FROM totals) t
      HAVING sum(received) > 0;

-- Makes days of the oldest minutes before `in_before`, which is not in the present: at most `in_limit` rows. Returns how
-- many it was. Any number of nodes may do so at once; a flush of events that old, out of a spool, makes a new row.
CREATE FUNCTION fold_accounts(in_before timestamptz, in_limit int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    folded bigint;
BEGIN
    WITH old AS MATERIALIZED (
        SELECT minute, stream, route, key_id FROM accounts WHERE minute < in_before AND stream <> 0
          ORDER BY minute, stream, route, key_id LIMIT in_limit FOR UPDATE SKIP LOCKED),
    gone AS (
        DELETE FROM accounts a USING old o
          WHERE a.minute = o.minute AND a.stream = o.stream AND a.route = o.route AND a.key_id = o.key_id
          RETURNING a.*),
    days AS (
        INSERT INTO accounts AS a
          SELECT date_trunc('day', minute, 'UTC') AS day, 0, route, key_id, sum(received), sum(stored), sum(duplicates),
                 sum(rejected), sum(bytes) FROM gone GROUP BY day, route, key_id ORDER BY day, route, key_id
          ON CONFLICT (minute, stream, route, key_id) DO UPDATE SET
            received = a.received + excluded.received, stored = a.stored + excluded.stored,
            duplicates = a.duplicates + excluded.duplicates, rejected = a.rejected + excluded.rejected,
            bytes = a.bytes + excluded.bytes)
    SELECT count(*) INTO folded FROM gone;
    RETURN folded;
END $$;

-- The accounts for people: of all writers together, with the names of keys.
CREATE VIEW accounting AS
    SELECT a.minute, a.route, nullif(a.key_id, 0) AS key_id, k.name AS key,
           sum(a.received)::bigint AS received, sum(a.stored)::bigint AS stored,
           sum(a.duplicates)::bigint AS duplicates, sum(a.rejected)::bigint AS rejected, sum(a.bytes)::bigint AS bytes
      FROM accounts a LEFT JOIN keys k ON k.id = a.key_id GROUP BY a.minute, a.route, a.key_id, k.name;

-- What the accounts have more than the totals, seen at one moment, and how far they are from adding up each for itself:
-- all zero unless something has gone wrong.
CREATE VIEW accounts_mismatch AS
    SELECT a.received - t.received AS received, a.stored - t.stored AS stored, a.duplicates - t.duplicates AS duplicates,
           a.rejected - t.rejected AS rejected, a.bytes - t.bytes AS bytes, a.unbalanced
      FROM (SELECT coalesce(sum(received), 0) AS received, coalesce(sum(stored), 0) AS stored,
                   coalesce(sum(duplicates), 0) AS duplicates, coalesce(sum(rejected), 0) AS rejected,
                   coalesce(sum(bytes), 0) AS bytes,
                   coalesce(sum(abs(received - stored - duplicates - rejected)), 0) AS unbalanced FROM accounts) a,
           (SELECT sum(received) AS received, sum(stored) AS stored, sum(duplicates) AS duplicates,
                   sum(rejected) AS rejected, sum(bytes) AS bytes
              FROM (SELECT received, stored, duplicates, rejected, bytes FROM streams
                    UNION ALL SELECT received, stored, duplicates, rejected, bytes FROM totals) s) t;
