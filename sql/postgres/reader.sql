-- A role for people and reports that read the views in SQL (public.<index>), and nothing below them. Run in the database
-- of the vectors by a superuser or the writer itself, after CREATE ROLE … LOGIN PASSWORD '…':
--   psql -d vectors -v writer=vector_pipeline -v role=reports -f sql/postgres/reader.sql
-- For the function <index>.nearest a role needs what searcher.sql gives: it reads the tables as whoever calls it.
GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA public TO :"role";

ALTER DEFAULT PRIVILEGES FOR ROLE :"writer" IN SCHEMA public GRANT SELECT ON TABLES TO :"role";

SELECT format('GRANT SELECT ON %I.%I TO %I', schemaname, viewname, :'role')
FROM pg_views
WHERE schemaname = 'public' AND viewowner = :'writer'
\gexec
