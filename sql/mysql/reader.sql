-- The account that reads the tables: the least that vector-pipeline needs. Run as an administrator, with three variables:
--   mysql -u root -p -e "SET @account = 'vector_pipeline', @password = '…', @rows = 'shop'; SOURCE sql/mysql/reader.sql"
-- It reads one database; for more of them, or for some tables alone, GRANT SELECT on those. An account that is there
-- already keeps its password. The account may do nothing else: no INSERT, no LOCK TABLES, no temporary tables.
SET @named = CONCAT(QUOTE(@account), '@''%''');

SET @statement = CONCAT('CREATE USER IF NOT EXISTS ', @named, ' IDENTIFIED BY ', QUOTE(@password));
PREPARE made FROM @statement;
EXECUTE made;

-- SHOW VIEW: an index over a view is told which columns it has, and why not where it can't be read. In the name of a
-- database _ and % stand for others as well, unless a backslash (character 92) is before them.
SET @literal = REPLACE(REPLACE(@rows, '_', CONCAT(CHAR(92), '_')), '%', CONCAT(CHAR(92), '%'));
SET @statement = CONCAT('GRANT SELECT, SHOW VIEW ON `', REPLACE(@literal, '`', '``'), '`.* TO ', @named);
PREPARE made FROM @statement;
EXECUTE made;
DEALLOCATE PREPARE made;
