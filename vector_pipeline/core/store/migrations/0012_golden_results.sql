-- How each generation answered the golden set of its index when it was last asked.
ALTER TABLE vector_pipeline.generations ADD golden_result jsonb, ADD golden_asked_at timestamptz;
