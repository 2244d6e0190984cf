# Run once by the image of MySQL, on an empty volume: the account that reads the tables, and may do nothing else. The
# last two privileges are for the detector `binlog` and for pauses while replicas lag.
password=$(cat "$DB_PASSWORD_FILE")
password=${password//\\/\\\\}
docker_process_sql <<SQL
CREATE USER '$DB_USER'@'%' IDENTIFIED BY '${password//\'/\'\'}';
GRANT SELECT, SHOW VIEW ON \`$MYSQL_DATABASE\`.* TO '$DB_USER'@'%';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '$DB_USER'@'%';
SQL
