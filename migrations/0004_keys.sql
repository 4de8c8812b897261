-- Keys: who may send, read and administer. Of a key itself only its SHA-256 is here.
CREATE TABLE keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    hint text NOT NULL,                                 -- the key's last characters, to tell keys apart
    name text NOT NULL,
    scopes text[] NOT NULL,
    source text,                                        -- of events that name none
    types text[] NOT NULL DEFAULT '{}',                 -- all when empty
    origins text[] NOT NULL DEFAULT '{}',
    rate double precision CHECK (rate > 0),             -- events a second and node; null: no limit
    burst int NOT NULL DEFAULT 0 CHECK (burst >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz                              -- kept, so that it stays known that there were keys
);

-- What has been administered, by whom, written in the transaction that did it.
CREATE TABLE audit (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,                                -- key:ID, local, or cli:USER
    action text NOT NULL,                               -- key.create, key.revoke
    target text NOT NULL,
    detail jsonb,
    request_id text
);
CREATE INDEX audit_at ON audit (at);
