-- Unlogged: a claim is worth nothing once the session that holds it is gone, and none survives the server's crash.
CREATE UNLOGGED TABLE vector_pipeline.text_claims (
    index_id integer NOT NULL,
    space integer NOT NULL,
    content_hash bytea NOT NULL,
    holder integer NOT NULL,
    PRIMARY KEY (index_id, space, content_hash)
);

CREATE SEQUENCE vector_pipeline.claim_holders AS integer MINVALUE 1 CYCLE;
