-- A golden set may be asked in several modes of search: the last figures of each generation are kept by mode.
CREATE TABLE vector_pipeline.golden_results (
    index_id integer NOT NULL,
    generation integer NOT NULL,
    mode text NOT NULL,
    result jsonb NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (index_id, generation, mode),
    FOREIGN KEY (index_id, generation) REFERENCES vector_pipeline.generations ON DELETE CASCADE
);

INSERT INTO vector_pipeline.golden_results (index_id, generation, mode, result, asked_at)
SELECT index_id, generation, coalesce(declaration #>> '{search,mode}', 'vector'), golden_result, golden_asked_at
FROM vector_pipeline.generations
WHERE golden_result IS NOT NULL AND golden_asked_at IS NOT NULL;

ALTER TABLE vector_pipeline.generations DROP golden_result, DROP golden_asked_at;
