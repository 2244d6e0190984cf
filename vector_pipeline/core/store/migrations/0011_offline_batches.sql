-- Batches at the provider's offline Batch API. The row is there before anything is sent; `mark` is what the batch is
-- found by at the provider if its id was never learnt. Costs count on `day`, when it was submitted, at `price`.
CREATE TABLE vector_pipeline.offline_batches (
    batch integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    generation integer NOT NULL,
    space integer NOT NULL,
    mark text NOT NULL,
    standing text NOT NULL CHECK (standing IN ('submitting', 'under way', 'ended')),
    texts integer NOT NULL,
    price numeric,
    day date NOT NULL,
    reserved numeric NOT NULL,
    file_id text,
    batch_id text,
    status text,
    completed integer NOT NULL DEFAULT 0,
    embedded integer NOT NULL DEFAULT 0,
    quarantined integer NOT NULL DEFAULT 0,
    given_back integer NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT 0,
    cost numeric,
    message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    uploaded_at timestamptz,
    ended_at timestamptz
);

CREATE INDEX ON vector_pipeline.offline_batches (index_id);

-- The texts that batches still owe a vector: no run sends them. `tokens` is an estimate.
CREATE TABLE vector_pipeline.offline_batch_texts (
    index_id integer NOT NULL REFERENCES vector_pipeline.embedding_indexes ON DELETE CASCADE,
    space integer NOT NULL,
    content_hash bytea NOT NULL,
    batch integer NOT NULL REFERENCES vector_pipeline.offline_batches ON DELETE CASCADE,
    fields text[] NOT NULL,
    tokens integer NOT NULL,
    PRIMARY KEY (index_id, space, content_hash)
);

CREATE INDEX ON vector_pipeline.offline_batch_texts (batch);
