-- The trace that a job belongs to: of all requests whose events it covers, the first that has named one. One stands for
-- them all, since a job has many requests; it leads from that request to what was computed from its events.

ALTER TABLE streams ADD COLUMN traceparent text;        -- of what is stored and not cut yet
ALTER TABLE jobs ADD COLUMN traceparent text;
ALTER TABLE dead_jobs ADD COLUMN traceparent text;

-- As in 0002, with the first trace among the flush's requests; a node of an older version calls it without.
DROP FUNCTION end_flush(bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, timestamptz, timestamptz, boolean,
    boolean);
CREATE FUNCTION end_flush(
    in_stream bigint, in_flush bigint, in_hi bigint, in_offered bigint, in_stored bigint, in_duplicates bigint,
    in_rejected bigint, in_bytes bigint, in_ts_min timestamptz, in_ts_max timestamptz, in_cut boolean,
    in_is_first boolean, in_traceparent text DEFAULT NULL
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
    IF in_cut THEN PERFORM cut_stream(in_stream); END IF;
    RETURN true;
END $$;

-- As in 0002; the job takes over the stream's trace.
CREATE OR REPLACE FUNCTION cut_stream(in_stream bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    s streams;
    job bigint;
BEGIN
    SELECT * INTO s FROM streams WHERE stream = in_stream FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stream % is gone: this node was declared dead', in_stream USING ERRCODE = 'MR001';
    END IF;
    IF s.ts_min IS NOT NULL THEN
        INSERT INTO jobs (origin, stream, lo, hi, ts_min, ts_max, traceparent)
          VALUES (s.epoch, in_stream, s.cut, s.written, s.ts_min, s.ts_max, s.traceparent) RETURNING id INTO job;
    END IF;
    UPDATE streams SET cut = s.written, ts_min = NULL, ts_max = NULL, traceparent = NULL WHERE stream = in_stream;
    RETURN job;
END $$;
