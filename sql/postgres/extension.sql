-- pgvector, in the database of the vectors. Run by a superuser, or whom the provider of the server lets: pgvector is not
-- marked as trusted, so no other role may. vector-pipeline needs no such right once the extension is there.
--   psql -d vectors -f sql/postgres/extension.sql
CREATE EXTENSION IF NOT EXISTS vector;
