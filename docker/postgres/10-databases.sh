# Run once by the image of PostgreSQL, on an empty volume: the role that everything of ours connects as, and its two
# databases, which it doesn't own: it has the privileges that the scripts of sql/postgres give. The extension is made
# here, since only a superuser may.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set sql="${SQL:-/sql}" --username "${POSTGRES_USER:-postgres}" \
  --dbname postgres <<'END'
\getenv role PG_USER
\getenv vectors PGVECTOR_DB_NAME
\getenv dagster PG_DB_NAME
\set password `cat "$PG_PASSWORD_FILE"`
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"vectors";
CREATE DATABASE :"dagster";
REVOKE ALL ON DATABASE :"vectors", :"dagster" FROM PUBLIC;
\cd :sql
\connect :"vectors"
\i extension.sql
\i writer.sql
\connect :"dagster"
\i dagster.sql
END
