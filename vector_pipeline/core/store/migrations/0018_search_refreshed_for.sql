-- What was declared of the search's indexes at the last refresh: a sync from the command line makes good what has changed.
ALTER TABLE vector_pipeline.embedding_indexes ADD search_refreshed_for text;
