ALTER TABLE vector_pipeline.embedding_indexes
    ADD COLUMN source_columns jsonb,
    ADD COLUMN reading_paid_until timestamptz;

ALTER TABLE vector_pipeline.key_ranges
    ADD COLUMN suspected_at timestamptz,
    ADD COLUMN dirty_since timestamptz,
    ADD COLUMN refused_digest text,
    ADD COLUMN refused_deletions bigint;

CREATE TABLE vector_pipeline.detector_states (
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    detector text NOT NULL,
    state jsonb,
    problem text,
    problem_since timestamptz,
    PRIMARY KEY (index_id, detector)
);

CREATE TABLE vector_pipeline.deletion_guards (
    index_id integer PRIMARY KEY REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    period_began_at timestamptz NOT NULL DEFAULT now(),
    period_documents bigint NOT NULL,
    period_deletions bigint NOT NULL DEFAULT 0,
    previous_documents bigint NOT NULL DEFAULT 0,
    previous_deletions bigint NOT NULL DEFAULT 0,
    approved_deletions bigint NOT NULL DEFAULT 0,
    held_since timestamptz,
    held_deletions bigint,
    rejected_at timestamptz
);
