CREATE SCHEMA IF NOT EXISTS vector_pipeline;

CREATE TABLE IF NOT EXISTS vector_pipeline.schema_version (
    version integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS vector_pipeline.embedding_indexes (
    index_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    schema_name text NOT NULL UNIQUE,
    declaration jsonb NOT NULL,
    active_generation integer,
    round_completed_at timestamptz,
    search_refreshed_at timestamptz,
    vectors_at_refresh bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS vector_pipeline.vector_spaces (
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    space integer NOT NULL,
    fingerprint text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    native_dimensions integer NOT NULL,
    stored_dimensions integer NOT NULL CHECK (stored_dimensions >= native_dimensions),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (index_id, space),
    UNIQUE (index_id, fingerprint)
);

CREATE TABLE IF NOT EXISTS vector_pipeline.generations (
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    generation integer NOT NULL,
    space integer NOT NULL,
    fingerprint text NOT NULL,
    rendering jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    PRIMARY KEY (index_id, generation),
    UNIQUE (index_id, fingerprint),
    FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.vector_spaces
);

CREATE TABLE IF NOT EXISTS vector_pipeline.key_ranges (
    range_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    partition text NOT NULL,
    position numeric NOT NULL,
    lower_key text,
    source_rows bigint,
    source_digest text,
    source_checked_at timestamptz,
    reported_digest text,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    UNIQUE (index_id, partition),
    UNIQUE (index_id, position)
);

CREATE TABLE IF NOT EXISTS vector_pipeline.range_states (
    range_id integer NOT NULL REFERENCES vector_pipeline.key_ranges ON DELETE CASCADE,
    generation integer NOT NULL,
    rows bigint NOT NULL,
    digest text,
    vectors_complete boolean NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (range_id, generation)
);

CREATE TABLE IF NOT EXISTS vector_pipeline.quarantine (
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    space integer NOT NULL,
    content_hash bytea NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz,
    PRIMARY KEY (index_id, space, content_hash)
);
