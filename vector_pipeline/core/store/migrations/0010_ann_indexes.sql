-- What each ANN index orders by, so that a search knows which ones it can walk; `vectors_deleted` is PostgreSQL's count
-- of rows deleted from the table when it was built.
CREATE TABLE vector_pipeline.ann_indexes (
    index_id integer NOT NULL,
    space integer NOT NULL,
    field text NOT NULL,
    name text NOT NULL,
    method text NOT NULL,
    width integer NOT NULL,
    built_at timestamptz NOT NULL DEFAULT now(),
    vectors_deleted bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (index_id, space, name),
    FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.vector_spaces ON DELETE CASCADE
);

-- Those that are there already order by all numbers of a stored vector, in a way that its length alone decided.
INSERT INTO vector_pipeline.ann_indexes (index_id, space, field, name, method, width)
SELECT i.index_id, s.space,
       replace(substring(pg_get_expr(x.indpred, x.indrelid) FROM '''(.*)'''), '''''', ''''),
       c.relname,
       CASE WHEN s.stored_dimensions <= 2000 THEN 'vector' WHEN s.stored_dimensions <= 4000 THEN 'halfvec' ELSE 'bit' END,
       s.stored_dimensions
FROM vector_pipeline.embedding_indexes i
JOIN vector_pipeline.vector_spaces s ON s.index_id = i.index_id
JOIN pg_namespace n ON n.nspname = i.schema_name
JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = 'vectors_' || s.space
JOIN pg_index x ON x.indrelid = t.oid AND x.indisvalid AND x.indpred IS NOT NULL
JOIN pg_class c ON c.oid = x.indexrelid
JOIN pg_am m ON m.oid = c.relam AND m.amname = 'hnsw';

ALTER TABLE vector_pipeline.vector_spaces ADD storage text NOT NULL DEFAULT 'vector';
