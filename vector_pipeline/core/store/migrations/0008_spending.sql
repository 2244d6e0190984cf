-- What an index has cost, by the day (UTC) and vector space. `model` outlives a space that is removed.
CREATE TABLE vector_pipeline.spending (
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    day date NOT NULL,
    space integer NOT NULL,
    model text NOT NULL,
    requests bigint NOT NULL DEFAULT 0,
    texts bigint NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT 0,
    tokens_estimated bigint NOT NULL DEFAULT 0,
    tokens_unpriced bigint NOT NULL DEFAULT 0,
    cost numeric NOT NULL DEFAULT 0,
    timed_texts bigint NOT NULL DEFAULT 0,
    timed_seconds double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (index_id, day, space)
);

-- What requests under way may cost, and the last one that the budget did not cover. What a killed run had under way
-- stays: it may have been paid for.
CREATE TABLE vector_pipeline.budget_days (
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    day date NOT NULL,
    in_flight numeric NOT NULL DEFAULT 0,
    refused numeric,
    PRIMARY KEY (index_id, day)
);
