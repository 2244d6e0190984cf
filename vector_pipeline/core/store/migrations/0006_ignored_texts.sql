-- Since when somebody wants a refused text to be left alone. It has no next attempt either.
ALTER TABLE vector_pipeline.quarantine
    ADD COLUMN IF NOT EXISTS ignored_at timestamptz;
