-- Only for the detector `binlog`, and for pauses while replicas lag (throttle.longest_lag_seconds): the account of
-- reader.sql may read the binary log. That shows it the changes of all databases, so leave it out where neither is
-- declared. Run as an administrator:
--   mysql -u root -p -e "SET @account = 'vector_pipeline'; SOURCE sql/mysql/binlog.sql"
-- MariaDB: REPLICATION SLAVE, BINLOG MONITOR for the log; REPLICA MONITOR on the replicas for pauses.
SET @named = CONCAT(QUOTE(@account), '@''%''');
SET @statement = CONCAT('GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO ', @named);
PREPARE made FROM @statement;
EXECUTE made;
DEALLOCATE PREPARE made;
