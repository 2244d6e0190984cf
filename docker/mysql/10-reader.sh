# Run once by the image of MySQL, on an empty volume: the account that reads the tables, and may do nothing else but read
# the binary log for the detector `binlog` and for pauses while replicas lag. The scripts are those of sql/mysql.
password=$(cat "$DB_PASSWORD_FILE")
password=${password//\\/\\\\}
{
  echo "SET @account = '$DB_USER', @password = '${password//\'/\'\'}', @rows = '$MYSQL_DATABASE';"
  cat "${SQL:-/sql}/reader.sql" "${SQL:-/sql}/binlog.sql"
} | docker_process_sql
