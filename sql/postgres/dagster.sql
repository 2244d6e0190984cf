-- The same role in the database of Dagster's storage (PG_DB_NAME), where Dagster makes its tables:
--   psql -d dagster -v role=vector_pipeline -f sql/postgres/dagster.sql
GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE, CREATE ON SCHEMA public TO :"role";
