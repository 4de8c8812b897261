-- Analyses: questions that are asked of the stored events of a range, each a job of the queue `analysis`.

-- What was asked, for as long as its outcome is kept; the state is that of the job while there is one, else that of the
-- job's outcome. So a claim, a failure and a result stay what they are for any job.
CREATE TABLE analyses (
    id bigint PRIMARY KEY,                              -- its job's
    kind text NOT NULL,
    params jsonb NOT NULL,
    priority smallint NOT NULL,
    timeout interval NOT NULL,
    max_attempts smallint NOT NULL,
    unique_key text,
    actor text NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    run_at timestamptz NOT NULL,
    progress real NOT NULL DEFAULT 0,                   -- of the current attempt, 0..1
    attempts jsonb NOT NULL DEFAULT '[]'                -- the last twenty: token, node, started_at, ended_at, error
);

-- What an analysis is given of an event's data: the scalar at a path; long texts by their beginning and a hash, so that
-- different ones stay different.
CREATE FUNCTION analysis_field(in_data jsonb, in_path text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(v)
             WHEN 'object' THEN NULL WHEN 'array' THEN NULL
             WHEN 'string' THEN CASE WHEN length(v #>> '{}') <= 1024 THEN v
                                     ELSE to_jsonb(left(v #>> '{}', 960) || md5(v #>> '{}')) END
             ELSE v END
      FROM (SELECT in_data #> in_path AS v) x
$$;
