-- Rollups of hours and of days. Nothing is ever added to them: they are made from what they sum up, and made again when
-- that has changed, so that there is nothing in them that could count twice.
CREATE TABLE rollups_hour (
    start timestamptz NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    events bigint NOT NULL DEFAULT 0,
    subjects bytea,
    fields bytea,
    is_stale boolean NOT NULL DEFAULT true,             -- what counts is in the finer level
    PRIMARY KEY (start, type, source)
) WITH (fillfactor = 70);
ALTER TABLE rollups_hour ALTER COLUMN subjects SET STORAGE EXTERNAL, ALTER COLUMN fields SET STORAGE EXTERNAL;
CREATE INDEX rollups_hour_stale ON rollups_hour (start) WHERE is_stale;

CREATE TABLE rollups_day (LIKE rollups_hour INCLUDING ALL) WITH (fillfactor = 70);

-- Whether every rollup of a minute has its hour and its day. A node of an older version makes minutes without them, so
-- the levels are of use only when the last of those is gone; what it has left behind is marked then.
CREATE TABLE rollup_levels (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    is_ready boolean NOT NULL DEFAULT false
);
INSERT INTO rollup_levels DEFAULT VALUES;

-- Whether the node's version marks hours and days.
ALTER TABLE nodes ADD COLUMN marks_levels boolean NOT NULL DEFAULT false;
DROP FUNCTION register_node(uuid, text, int);
CREATE FUNCTION register_node(
    in_epoch uuid, in_name text, writers int, in_marks_levels boolean DEFAULT false
) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO nodes (epoch, name, marks_levels) VALUES (in_epoch, in_name, in_marks_levels);
    RETURN QUERY
      INSERT INTO streams (stream, epoch, cut, written)
        SELECT n, in_epoch, n << 40, n << 40 FROM (SELECT nextval('stream_numbers') AS n FROM generate_series(1, writers)) x
        RETURNING stream;
END $$;

-- Marks the hours and days of all minutes that there are, once nobody is left who would make minutes without marking;
-- returns whether the levels can be used.
CREATE FUNCTION ready_levels() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM rollup_levels WHERE is_ready;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM nodes WHERE NOT marks_levels;
    IF FOUND THEN RETURN false; END IF;
    INSERT INTO rollups_hour AS l (start, type, source)
      SELECT DISTINCT date_trunc('hour', minute, 'UTC') AS start, type, source FROM rollups_minute
        ORDER BY start, type, source
      ON CONFLICT (start, type, source) DO UPDATE SET is_stale = true WHERE NOT l.is_stale;
    INSERT INTO rollups_day AS l (start, type, source)
      SELECT DISTINCT date_trunc('day', start, 'UTC') AS day, type, source FROM rollups_hour ORDER BY day, type, source
      ON CONFLICT (start, type, source) DO UPDATE SET is_stale = true WHERE NOT l.is_stale;
    UPDATE rollup_levels SET is_ready = true;
    RETURN true;
END $$;

-- What there is between two whole minutes, hours or days, as coarse as it can be had: in place of what is stale comes
-- what it is made of. For FROM clauses: the planner sees through them.
CREATE FUNCTION minute_rollups(in_from timestamptz, in_to timestamptz)
RETURNS TABLE (start timestamptz, type text, source text, events bigint, subjects bytea, fields bytea)
LANGUAGE sql STABLE AS $$
    SELECT minute, type, source, events, subjects, fields FROM rollups_minute WHERE minute >= in_from AND minute < in_to
$$;

CREATE FUNCTION hour_rollups(in_from timestamptz, in_to timestamptz)
RETURNS TABLE (start timestamptz, type text, source text, events bigint, subjects bytea, fields bytea)
LANGUAGE sql STABLE AS $$
    SELECT start, type, source, events, subjects, fields FROM rollups_hour
      WHERE start >= in_from AND start < in_to AND NOT is_stale AND (SELECT is_ready FROM rollup_levels)
    UNION ALL
    -- By its whole key, so that a stale hour costs sixty looks, however many others its minutes have.
    SELECT m.minute, m.type, m.source, m.events, m.subjects, m.fields
      FROM rollups_hour h JOIN rollups_minute m
        ON m.minute = ANY (ARRAY(SELECT h.start + n * interval '1 minute' FROM generate_series(0, 59) n))
        AND m.type = h.type AND m.source = h.source
      WHERE h.start >= in_from AND h.start < in_to AND h.is_stale AND (SELECT is_ready FROM rollup_levels)
    UNION ALL
    SELECT minute, type, source, events, subjects, fields FROM rollups_minute
      WHERE minute >= in_from AND minute < in_to AND NOT (SELECT is_ready FROM rollup_levels)
$$;

CREATE FUNCTION day_rollups(in_from timestamptz, in_to timestamptz)
RETURNS TABLE (start timestamptz, type text, source text, events bigint, subjects bytea, fields bytea)
LANGUAGE sql STABLE AS $$
    SELECT start, type, source, events, subjects, fields FROM rollups_day
      WHERE start >= in_from AND start < in_to AND NOT is_stale AND (SELECT is_ready FROM rollup_levels)
    UNION ALL
    SELECT h.start, h.type, h.source, h.events, h.subjects, h.fields
      FROM rollups_day d JOIN rollups_hour h
        ON h.start = ANY (ARRAY(SELECT d.start + n * interval '1 hour' FROM generate_series(0, 23) n))
        AND h.type = d.type AND h.source = d.source
      WHERE d.start >= in_from AND d.start < in_to AND d.is_stale AND NOT h.is_stale
        AND (SELECT is_ready FROM rollup_levels)
    UNION ALL
    SELECT m.minute, m.type, m.source, m.events, m.subjects, m.fields
      FROM rollups_day d JOIN rollups_hour h
        ON h.start = ANY (ARRAY(SELECT d.start + n * interval '1 hour' FROM generate_series(0, 23) n))
        AND h.type = d.type AND h.source = d.source
      JOIN rollups_minute m
        ON m.minute = ANY (ARRAY(SELECT h.start + n * interval '1 minute' FROM generate_series(0, 59) n))
        AND m.type = h.type AND m.source = h.source
      WHERE d.start >= in_from AND d.start < in_to AND d.is_stale AND h.is_stale
        AND (SELECT is_ready FROM rollup_levels)
    UNION ALL
    SELECT minute, type, source, events, subjects, fields FROM rollups_minute
      WHERE minute >= in_from AND minute < in_to AND NOT (SELECT is_ready FROM rollup_levels)
$$;
