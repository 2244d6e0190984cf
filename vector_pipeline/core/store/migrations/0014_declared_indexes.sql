-- Indexes that were declared at run time, by an API call or an agent, and have no file. `removed_at` is set while one is
-- being removed: nothing builds it anew meanwhile, and a removal that was broken off can be finished.
CREATE TABLE vector_pipeline.declared_indexes (
    name text PRIMARY KEY,
    source_database text NOT NULL,
    source_table text NOT NULL,
    declaration jsonb NOT NULL,
    declared_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    UNIQUE (source_database, source_table)
);
