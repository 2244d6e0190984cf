CREATE TABLE vector_pipeline.canary_looks (
    index_id integer NOT NULL,
    space integer NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    compared_at timestamptz NOT NULL DEFAULT now(),
    alike_at timestamptz NOT NULL DEFAULT now(),
    similarity double precision,
    drifted_since timestamptz,
    PRIMARY KEY (index_id, space),
    FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.vector_spaces ON DELETE CASCADE
);

CREATE TABLE vector_pipeline.canaries (
    index_id integer NOT NULL,
    space integer NOT NULL,
    position integer NOT NULL,
    text text NOT NULL,
    embedding vector NOT NULL,
    PRIMARY KEY (index_id, space, position),
    FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.canary_looks ON DELETE CASCADE
);
