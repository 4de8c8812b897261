-- What it takes to replay a reject: how its request was decoded, a way to it by its number, and that it is taken once.

-- A replay decodes an event exactly as its request did. A replayed reject is gone, so no column says when it was.
ALTER TABLE rejects
    ADD COLUMN strict boolean NOT NULL DEFAULT false,   -- whether every MUST of CloudEvents was enforced
    ADD COLUMN default_source text,                     -- the source of events that name none; null for "/"
    ADD COLUMN key_id bigint,                           -- the key that it came with; null for none
    DROP COLUMN replayed_at;

CREATE INDEX rejects_n ON rejects (n);

-- Takes away exactly these rejects, in the transaction that stores their events, and writes it down.
--
-- Raises MR004 when one of them is gone: whoever took it away has stored its event or meant to drop it, so nothing of
-- the transaction may last.
CREATE FUNCTION take_rejects(in_n bigint[], in_received_at timestamptz[], in_actor text, in_request_id text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    taken bigint;
BEGIN
    DELETE FROM rejects r USING unnest(in_n, in_received_at) AS t (n, received_at)
      WHERE r.received_at = t.received_at AND r.n = t.n;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken <> cardinality(in_n) THEN
        RAISE EXCEPTION '% of % rejects are gone', cardinality(in_n) - taken, cardinality(in_n) USING ERRCODE = 'MR004';
    END IF;
    INSERT INTO audit (actor, action, target, detail, request_id)
      SELECT in_actor, 'reject.replay', 'rejects',
             jsonb_build_object('rejects', count(*), 'first', min(n), 'last', max(n)), in_request_id
        FROM unnest(in_n) AS t (n);
    RETURN true;
END $$;
