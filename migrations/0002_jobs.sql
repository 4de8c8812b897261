-- The queue of analytics jobs, their results, and the rollups that they make.

-- What fences: a number a claim, never used again.
CREATE SEQUENCE lease_tokens;

CREATE TABLE jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL DEFAULT 'rollup',
    kind text NOT NULL DEFAULT 'rollup',
    state smallint NOT NULL DEFAULT 1,                  -- 0 scheduled, 1 ready, 2 leased, 3 paused
    priority smallint NOT NULL DEFAULT 4,
    run_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    token bigint,
    epoch uuid,                                         -- who holds the lease
    leased_at timestamptz,
    deadline_at timestamptz,
    timeout interval NOT NULL DEFAULT '60 s',
    attempt smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL DEFAULT 5,           -- the handler said "failed"
    crashes smallint NOT NULL DEFAULT 0,
    max_crashes smallint NOT NULL DEFAULT 2,            -- the worker died of it
    losses smallint NOT NULL DEFAULT 0,
    max_losses smallint NOT NULL DEFAULT 5,             -- the node vanished with it
    cancel_requested boolean NOT NULL DEFAULT false,
    unique_key bytea,
    root_id bigint,
    depth smallint NOT NULL DEFAULT 0,
    origin uuid,                                        -- the epoch that holds its events in memory
    stream bigint NOT NULL,
    lo bigint NOT NULL,                                 -- events with seq in [lo, hi)
    hi bigint NOT NULL,
    ts_min timestamptz NOT NULL,                        -- and ts in [ts_min, ts_max]: only these partitions are read
    ts_max timestamptz NOT NULL,
    errors jsonb NOT NULL DEFAULT '[]'
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX jobs_ready ON jobs (queue, priority, run_at, id) WHERE state = 1;
CREATE INDEX jobs_scheduled ON jobs (run_at) WHERE state = 0;
CREATE INDEX jobs_leased ON jobs (epoch) WHERE state = 2;
CREATE INDEX jobs_deadline ON jobs (deadline_at) WHERE state = 2;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_key) WHERE unique_key IS NOT NULL;

-- Results by id, and the proof that a job was applied. Dropped by day.
CREATE TABLE job_outcomes (
    id bigint NOT NULL,
    token bigint NOT NULL,
    status text NOT NULL,
    queue text NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    result jsonb
) PARTITION BY RANGE (finished_at);
CREATE INDEX job_outcomes_id ON job_outcomes (id);

CREATE TABLE dead_jobs (
    id bigint PRIMARY KEY,
    queue text NOT NULL,
    kind text NOT NULL,
    stream bigint NOT NULL,
    lo bigint NOT NULL,
    hi bigint NOT NULL,
    ts_min timestamptz NOT NULL,
    ts_max timestamptz NOT NULL,
    root_id bigint,
    reason text NOT NULL,
    errors jsonb NOT NULL,
    attempt int NOT NULL,
    crashes int NOT NULL,
    losses int NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now(),
    replayed_as bigint
);

-- What a minute, a type and a source have in common. Sketches are merged by whoever applies a job's result.
CREATE TABLE rollups_minute (
    minute timestamptz NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    events bigint NOT NULL DEFAULT 0,
    subjects bytea,                                     -- HyperLogLog of the distinct subjects
    fields bytea,                                       -- quantile sketches of the numeric fields
    PRIMARY KEY (minute, type, source)
) WITH (fillfactor = 70);
ALTER TABLE rollups_minute ALTER COLUMN subjects SET STORAGE EXTERNAL, ALTER COLUMN fields SET STORAGE EXTERNAL;

-- Counts by type since the first start.
CREATE TABLE rollups_type (
    type text PRIMARY KEY,
    events bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Ends a writer's flush: fences, counts and cuts, in the transaction that has stored its events.
--
-- Raises MR001 when the stream is gone: its node was declared dead and its tail handed to others. A flush that is sent
-- again (`in_is_first` false) and was counted before, because its first try had committed after all, changes nothing
-- and gets false. Anything else that comes after its number has been used, a first try delayed past its successor for
-- one, must not store what nobody would count: it raises MR002.
-- `offered` counts the events that were sent to the table, `stored` those of them that were new; `duplicates` and
-- `rejected` were found before.
CREATE FUNCTION end_flush(
    in_stream bigint, in_flush bigint, in_hi bigint, in_offered bigint, in_stored bigint, in_duplicates bigint,
    in_rejected bigint, in_bytes bigint, in_ts_min timestamptz, in_ts_max timestamptz, in_cut boolean,
    in_is_first boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s streams;
BEGIN
    UPDATE streams SET
        flush = in_flush, written = in_hi,
        ts_min = least(ts_min, in_ts_min), ts_max = greatest(ts_max, in_ts_max),
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

-- Makes one job of all that a stream has stored since its last cut; returns the job's id, null when there is nothing.
CREATE FUNCTION cut_stream(in_stream bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    s streams;
    job bigint;
BEGIN
    SELECT * INTO s FROM streams WHERE stream = in_stream FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stream % is gone: this node was declared dead', in_stream USING ERRCODE = 'MR001';
    END IF;
    IF s.ts_min IS NOT NULL THEN
        INSERT INTO jobs (origin, stream, lo, hi, ts_min, ts_max)
          VALUES (s.epoch, in_stream, s.cut, s.written, s.ts_min, s.ts_max) RETURNING id INTO job;
    END IF;
    UPDATE streams SET cut = s.written, ts_min = NULL, ts_max = NULL WHERE stream = in_stream;
    RETURN job;
END $$;

-- Registers a node with `writers` streams; returns their numbers.
CREATE FUNCTION register_node(in_epoch uuid, in_name text, writers int) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO nodes (epoch, name) VALUES (in_epoch, in_name);
    RETURN QUERY
      INSERT INTO streams (stream, epoch, cut, written)
        SELECT n, in_epoch, n << 40, n << 40 FROM (SELECT nextval('stream_numbers') AS n FROM generate_series(1, writers)) x
        RETURNING stream;
END $$;

-- Buries a node: cuts its tails into jobs, keeps its totals, forgets it. A flush of the dead that comes later finds no
-- stream and fails; one that is under way holds its stream's row, and is waited for.
CREATE FUNCTION bury_node(in_epoch uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stream FROM streams WHERE epoch = in_epoch ORDER BY stream FOR UPDATE;
    PERFORM cut_stream(stream) FROM streams WHERE epoch = in_epoch ORDER BY stream;
    WITH gone AS (DELETE FROM streams WHERE epoch = in_epoch RETURNING *),
         sums AS (SELECT coalesce(sum(received), 0) AS received, coalesce(sum(stored), 0) AS stored,
                         coalesce(sum(duplicates), 0) AS duplicates, coalesce(sum(rejected), 0) AS rejected,
                         coalesce(sum(bytes), 0) AS bytes FROM gone)
      UPDATE totals t SET received = t.received + s.received, stored = t.stored + s.stored,
             duplicates = t.duplicates + s.duplicates, rejected = t.rejected + s.rejected, bytes = t.bytes + s.bytes
        FROM sums s;
    DELETE FROM nodes WHERE epoch = in_epoch;
END $$;
