# mysqlbinlog from a remote server: the dump flows through the gate as through nothing.
set -u
cd "$WEIR_SCRATCH"
LOGIN=(--no-defaults --protocol=TCP --host="$WEIR_HOST" --port="$WEIR_PORT" --get-server-public-key)
export MYSQL_PWD=$WEIR_PASSWORD
step() { echo "== $*"; }
ask() { "$BIN/mysql" "${LOGIN[@]}" --user="$WEIR_USER" --default-character-set=utf8mb4 "$WEIR_SCHEMA" -N "$@" 2>&1; }
# One schema's part of the log, up to where it was when it was asked for; others write to others.
log() { "$BIN/mysqlbinlog" "${LOGIN[@]}" --user="$WEIR_USER" --read-from-remote-server --start-position="$FROM" --stop-position="$TO" "$@" "$FILE" 2>&1; echo "status $?"; }
where() { ask -e 'SHOW BINARY LOG STATUS' | cut -f 1,2; }
# What a schema's own statements and rows are; the rest is of the session, of time and place, and of others.
plain() { grep -E '^(###|CREATE|UPDATE|DELETE|ERROR|status)' | sed -E "s/$WEIR_SCHEMA/SCHEMA/"; }

echo "# version $("$BIN/mysqlbinlog" --version | sed -E 's/.*Ver ([0-9.]+).*/\1/')"
read -r FILE FROM < <(where)
ask -e "CREATE TABLE logged (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40), b BLOB); INSERT INTO logged (v) VALUES ('ü 😀'), (NULL); UPDATE logged SET b = REPEAT('x', 60000); SET binlog_format = 'STATEMENT'; DELETE FROM logged WHERE id = 2; FLUSH BINARY LOGS" > flushed
read -r NEXT _ < <(where)
TO=18446744073709551615
step rows
log --database="$WEIR_SCHEMA" --base64-output=DECODE-ROWS -vv | plain
step statements-that-can-be-played-again
log --database="$WEIR_SCHEMA" --skip-gtids > played.sql; tail -n 1 played.sql
grep -v '^status ' played.sql | grep -cE '^(BINLOG|CREATE TABLE)'
step raw
"$BIN/mysqlbinlog" "${LOGIN[@]}" --user="$WEIR_USER" --read-from-remote-server --raw --result-file=raw- "$FILE"; echo "status $?"
"$BIN/mysqlbinlog" --no-defaults --verify-binlog-checksum "raw-$FILE" > /dev/null; echo "status $?"
# The same file once more, by GTIDs from another kind of dump: equal to the last byte.
"$BIN/mysqlbinlog" "${LOGIN[@]}" --user="$WEIR_USER" --read-from-remote-source=BINLOG-DUMP-GTIDS --raw --result-file=gtid- "$FILE"; echo "status $?"
cmp "raw-$FILE" "gtid-$FILE" && echo "equal"
# And equal to the server's own file.
cmp "raw-$FILE" "$(dirname "$(ask -e 'SELECT @@log_bin_basename')")/$FILE" && echo "equal"
step stays-and-hears-what-is-new
FILE=$NEXT FROM=4
timeout 20 "$BIN/mysqlbinlog" "${LOGIN[@]}" --user="$WEIR_USER" --read-from-remote-server --stop-never --connection-server-id=4711 --base64-output=DECODE-ROWS -vv --database="$WEIR_SCHEMA" "$NEXT" > live.log 2>&1 &
LIVE=$!
ask -e "INSERT INTO logged (v) VALUES ('heard')"
for _ in $(seq 200); do grep -q heard live.log && break; ask -e "INSERT INTO logged (v) VALUES ('more')"; sleep 0.05; done
grep -q heard live.log && echo "it was heard" || { echo "! nothing was heard"; tail -3 live.log; }
kill "$LIVE"; wait "$LIVE" 2> /dev/null; echo "status $?"
# Who has gone is noticed by the server when it has something to send.
for _ in $(seq 200); do
  left=$(ask -e "INSERT INTO logged (v) VALUES ('more'); SELECT COUNT(*) FROM performance_schema.processlist WHERE COMMAND LIKE 'Binlog Dump%' AND USER = '$WEIR_USER'")
  [ "$left" = 0 ] && break
  sleep 0.05
done
echo "dumps left $left"
step without-the-right
# Who lacks REPLICATION SLAVE.
ask -e "DROP USER IF EXISTS weir_reader; CREATE USER weir_reader IDENTIFIED BY 'reader'; GRANT SELECT ON *.* TO weir_reader"
MYSQL_PWD=reader "$BIN/mysqlbinlog" "${LOGIN[@]}" --user=weir_reader --read-from-remote-server "$FILE" 2>&1 | grep -v '^/\*\|^DELIMITER\|^#\|^SET'
ask -e 'DROP USER weir_reader'
step files
log none.000001 | grep -E 'ERROR|status'
log --base64-output=DECODE-ROWS "$NEXT" > /dev/null; echo "status $?"
echo "== end"
