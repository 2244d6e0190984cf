-- The role that everything of vector-pipeline's but a service that only searches connects as (PG_USER). Run in the
-- database of the vectors by its owner or a superuser, after CREATE ROLE … LOGIN PASSWORD '…':
--   psql -d vectors -v role=vector_pipeline -f sql/postgres/writer.sql
-- It owns what it makes, and may touch nothing else.

-- CREATE: a schema for each index, and `vector_pipeline`. TEMPORARY: rows are copied into a temporary table first.
GRANT CONNECT, CREATE, TEMPORARY ON DATABASE :"DBNAME" TO :"role";
-- A view for each index, under the name that SQL users know.
GRANT USAGE, CREATE ON SCHEMA public TO :"role";
