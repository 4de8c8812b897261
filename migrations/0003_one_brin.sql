-- One BRIN instead of four: what each row and each flush pays for an index is its look at the summary, and a BRIN of
-- several columns is searched by any of them. Small flushes cost PostgreSQL a tenth less.
DROP INDEX events_received_at, events_seq, events_id, events_key;

-- received_at: what came when. seq: cuts are read back by it when their writer is gone; several streams interleave,
-- hence the several ranges a page. id and key: one event by its id alone, rare, so that it pays at the read and not at
-- the write.
CREATE INDEX events_lookup ON events
    USING brin (received_at, seq int8_minmax_multi_ops, id text_bloom_ops, key uuid_bloom_ops) WITH (pages_per_range = 32);
