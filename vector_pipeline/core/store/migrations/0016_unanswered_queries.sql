-- Queries that found nothing, where a deployment keeps them. Spellings that differ by case and white space alone are
-- one. A threshold of NULL: asked by words alone. filtered: never asked without a filter.
CREATE TABLE vector_pipeline.unanswered_queries (
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    query_hash bytea NOT NULL,
    query text NOT NULL,
    times bigint NOT NULL,
    threshold double precision,
    filtered boolean NOT NULL,
    first_asked_at timestamptz NOT NULL,
    last_asked_at timestamptz NOT NULL,
    keep_until timestamptz NOT NULL,
    PRIMARY KEY (index_id, query_hash)
);
CREATE INDEX unanswered_queries_by_time ON vector_pipeline.unanswered_queries (keep_until);
