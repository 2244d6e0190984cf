-- What each generation has cost; of days before this, the first one's.
ALTER TABLE vector_pipeline.spending ADD generation integer NOT NULL DEFAULT 1;
ALTER TABLE vector_pipeline.spending DROP CONSTRAINT spending_pkey, ADD PRIMARY KEY (index_id, day, space, generation);
ALTER TABLE vector_pipeline.spending ALTER generation DROP DEFAULT;
