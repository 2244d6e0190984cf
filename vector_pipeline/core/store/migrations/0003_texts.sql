ALTER TABLE vector_pipeline.vector_spaces
    ADD COLUMN IF NOT EXISTS query_prefix text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS document_prefix text NOT NULL DEFAULT '';

-- The places of passages in their texts, in the tables of each index: NULL is the whole text.
DO $$
DECLARE
    passages record;
BEGIN
    FOR passages IN
        SELECT n.nspname, c.relname
        FROM vector_pipeline.embedding_indexes i
        JOIN pg_namespace n ON n.nspname = i.schema_name
        JOIN pg_class c ON c.relnamespace = n.oid
        WHERE c.relkind = 'r' AND c.relname ~ '^passages_[0-9]+$'
    LOOP
        EXECUTE format(
            'ALTER TABLE %I.%I ADD COLUMN IF NOT EXISTS char_start integer, ADD COLUMN IF NOT EXISTS char_end integer',
            passages.nspname, passages.relname);
    END LOOP;
END
$$;
