-- Who may call the service. A key is 32 random bytes, of which only the SHA-256 is here. Revoked keys stay: that there
-- ever was one means that nobody is served without.
CREATE TABLE vector_pipeline.api_keys (
    key_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    hint text NOT NULL,
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    indexes text[],
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
CREATE UNIQUE INDEX api_keys_in_use ON vector_pipeline.api_keys (name) WHERE revoked_at IS NULL;
