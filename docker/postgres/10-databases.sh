# Run once by the image of PostgreSQL, on an empty volume: the role that everything of ours connects as, and its two
# databases. It is no superuser; the extension is made here, since only a superuser may.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv role PG_USER
\getenv vectors PGVECTOR_DB_NAME
\getenv dagster PG_DB_NAME
\set password `cat "$PG_PASSWORD_FILE"`
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"vectors" OWNER :"role";
CREATE DATABASE :"dagster" OWNER :"role";
REVOKE CONNECT, TEMPORARY ON DATABASE :"vectors", :"dagster" FROM PUBLIC;
\connect :"vectors"
CREATE EXTENSION vector;
SQL
