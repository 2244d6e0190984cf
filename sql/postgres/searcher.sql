-- A role for a service that only searches (`vector-pipeline serve` with PG_USER set to it). Run in the database of the
-- vectors by a superuser or the writer itself, after CREATE ROLE … LOGIN PASSWORD '…' and once `vector-pipeline prepare`
-- has made the registry:
--   psql -d vectors -v writer=vector_pipeline -v role=vector_search -f sql/postgres/searcher.sql
-- It reads every index, those too that are made later. It may not sync, declare, or change anything but what a search
-- leaves behind: when a key was last used, and queries that found nothing.
GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";

ALTER DEFAULT PRIVILEGES FOR ROLE :"writer" GRANT USAGE ON SCHEMAS TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"writer" GRANT SELECT ON TABLES TO :"role";

-- What is there already.
SELECT format('GRANT USAGE ON SCHEMA %1$I TO %2$I; GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO %2$I', nspname, :'role')
FROM pg_namespace
WHERE nspowner = :'writer'::regrole
\gexec

GRANT UPDATE (last_used_at) ON vector_pipeline.api_keys TO :"role";
GRANT INSERT, UPDATE, DELETE ON vector_pipeline.unanswered_queries TO :"role";
