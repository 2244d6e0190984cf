ALTER TABLE vector_pipeline.embedding_indexes
    ADD COLUMN building_generation integer,
    ADD COLUMN generations_made integer NOT NULL DEFAULT 1,
    ADD COLUMN spaces_made integer NOT NULL DEFAULT 1;

ALTER TABLE vector_pipeline.generations
    ADD COLUMN declaration jsonb,
    ADD COLUMN completed_at timestamptz,
    ADD COLUMN approved_at timestamptz,
    ADD COLUMN retired_at timestamptz,
    ADD COLUMN rolled_back_at timestamptz,
    ADD COLUMN behind_since timestamptz;

UPDATE vector_pipeline.generations g SET declaration = i.declaration
FROM vector_pipeline.embedding_indexes i
WHERE i.index_id = g.index_id;

ALTER TABLE vector_pipeline.generations ALTER COLUMN declaration SET NOT NULL;
ALTER TABLE vector_pipeline.embedding_indexes DROP COLUMN declaration;

ALTER TABLE vector_pipeline.quarantine
    ADD CONSTRAINT quarantine_of_a_space FOREIGN KEY (index_id, space)
    REFERENCES vector_pipeline.vector_spaces ON DELETE CASCADE;
