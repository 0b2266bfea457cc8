# The programs that come with MySQL: mysql, mysqldump, mysqlimport, mysqlslap, mysqlshow, mysqladmin.
set -u
cd "$WEIR_SCRATCH"
LOGIN=(--no-defaults --protocol=TCP --host="$WEIR_HOST" --port="$WEIR_PORT" --user="$WEIR_USER")
export MYSQL_PWD=$WEIR_PASSWORD
step() { echo "== $*"; }
# A program's words, the password's warning and what tells of time left out.
call() { local program=$1; shift; "$BIN/$program" "${LOGIN[@]}" "$@" 2>&1 | sed -E 's/\([0-9.]+ sec\)/(T sec)/; s/^mysql(dump|import|slap|admin|show)?: \[Warning\].*$//; /^$/d'; echo "status ${PIPESTATUS[0]}"; }
ask() { call mysql --default-character-set=utf8mb4 "$WEIR_SCHEMA" "$@"; }

echo "# version $("$BIN/mysql" --version | sed -E 's/.*Ver ([0-9.]+).*/\1/')"

step batch
ask --batch -e 'SELECT 1 AS a; SELECT id, name, age, balance FROM people ORDER BY id; SELECT NULL, "", 0x4142'
step types-with-columns
ask --column-type-info --binary-as-hex -vvv -e 'SELECT * FROM types ORDER BY id'
step vertical-and-xml
ask -E -e 'SELECT * FROM types WHERE id < 3 ORDER BY id'
ask --xml -e 'SELECT id, vc, js, dt FROM types ORDER BY id'
step affected-rows-and-warnings
ask -vvv --show-warnings -e "INSERT INTO people (name) VALUES ('x1'), ('x2'); UPDATE people SET age = 5 WHERE name LIKE 'x%'; UPDATE people SET age = 5 WHERE name LIKE 'x%'; SELECT LAST_INSERT_ID(); SELECT '1x' + 1; DELETE FROM people WHERE name = 'x2'; DROP TABLE IF EXISTS none"
step errors
for sql in 'SELEC 1' 'SELECT * FROM none' "INSERT INTO people (name) VALUES ('Ada')" 'CALL none()' 'USE none' 'SELECT 1; SELECT nope; SELECT 3'; do ask --force -e "$sql"; done
ask --force -e 'SELECT 1; SELECT nope; SELECT 3'
step scripts
cat > script.sql <<'S'
-- A comment
/*!80000 SET @v = 1 */;
DELIMITER $$
CREATE PROCEDURE mine(OUT a INT) BEGIN SET a = 42; SELECT 'inside'; END$$
DELIMITER ;
CALL mine(@a); SELECT @a, @v;
START TRANSACTION; INSERT INTO work (k) VALUES (1); SAVEPOINT s; INSERT INTO work (k) VALUES (2); ROLLBACK TO s; COMMIT;
SELECT k FROM work ORDER BY id;
CREATE TEMPORARY TABLE t (a INT); INSERT INTO t VALUES (1),(2); SELECT SUM(a) FROM t;
PREPARE p FROM 'SELECT ? + ?'; SET @x = 3, @y = 4; EXECUTE p USING @x, @y; DEALLOCATE PREPARE p;
USE information_schema;
SELECT DATABASE();
S
ask --table < script.sql
step procedures
ask -e 'SET @b = 10; CALL two_results(3, @b, @c); SELECT @b, @c'
ask -e 'CALL fails_late()'
step status
ask --commands -e 'status' | grep -E '^(Current database|Current user|Protocol|Server charac|Db     charac|Client charac|Conn.  charac|TCP port|Using delimiter)' | grep -v 'TCP port'
step tls
for mode in DISABLED REQUIRED; do ask --ssl-mode=$mode --get-server-public-key -e 'SELECT COUNT(*) FROM people'; done
ask --ssl-mode=REQUIRED --tls-version=TLSv1.2 -e 'SELECT COUNT(*) FROM types'
step tls-as-the-server-tells
ask --ssl-mode=REQUIRED -e 'SELECT VARIABLE_VALUE <> "" AS encrypted FROM performance_schema.session_status WHERE VARIABLE_NAME = "Ssl_cipher"'
step compression
for algorithm in zlib zstd; do ask --compression-algorithms=$algorithm -e 'SELECT COUNT(*), SHA2(REPEAT(MIN(name), 2000), 256), REPEAT(MIN(name), 2000) FROM people' | cut -c 1-200; done
step wrong-logins
MYSQL_PWD=wrong ask -e 'SELECT 1' | sed -E "s/@'[^']*'/@HOST/"
call mysql none -e 'SELECT 1'
step local-infile
ask --local-infile=1 -vvv --show-warnings -e "LOAD DATA LOCAL INFILE 'rows.csv' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'"
ask -e 'SELECT * FROM loaded ORDER BY id, name'
ask --local-infile=0 -e "LOAD DATA LOCAL INFILE 'rows.csv' INTO TABLE loaded"
ask --local-infile=1 -e "LOAD DATA LOCAL INFILE 'no-such-file' INTO TABLE loaded"
step mysqlimport
printf '11\timported\t1.25\n12\t\\N\t2\n' > loaded.txt
call mysqlimport --local "$WEIR_SCHEMA" loaded.txt
call mysqlimport --local --delete --fields-terminated-by=, --columns=id,name,price "$WEIR_SCHEMA" loaded.txt
ask -e 'SELECT COUNT(*), SUM(id) FROM loaded'
step mysqldump
call mysqldump --single-transaction --routines --triggers --set-gtid-purged=OFF --skip-dump-date --hex-blob "$WEIR_SCHEMA" > dump.sql
grep -vE '^-- (Host|Server version|MySQL dump)' dump.sql | md5sum; wc -l < dump.sql
step dump-restored
grep -v '^status ' dump.sql | "$BIN/mysql" "${LOGIN[@]}" "${WEIR_SCHEMA}_2" 2>&1; echo "status $?"
for table in types people items work numbers locks loaded; do
  "$BIN/mysql" "${LOGIN[@]}" -N -e "CHECKSUM TABLE $WEIR_SCHEMA.$table, ${WEIR_SCHEMA}_2.$table" | awk -v t=$table '{sum[NR] = $2} END {print t, (NR == 2 && sum[1] == sum[2]) ? "equal" : "! differs"}'
done
call mysqldump --no-data --compact --set-gtid-purged=OFF "${WEIR_SCHEMA}_2" people items
step mysqldump-other-ways
call mysqldump --tab="$WEIR_SCRATCH" "$WEIR_SCHEMA" people | tail -1
call mysqldump --single-transaction --source-data=2 --set-gtid-purged=ON --skip-dump-date "$WEIR_SCHEMA" numbers | grep -vE "^(-- |SET @@GLOBAL.GTID|'?[0-9a-f]{8}-|-- CHANGE)" | md5sum
call mysqldump --set-gtid-purged=OFF --lock-tables --no-create-info --xml "$WEIR_SCHEMA" people
step mysqlslap
call mysqlslap --concurrency=4 --iterations=2 --number-of-queries=200 --create-schema="$WEIR_SCHEMA" --query='SELECT n FROM numbers WHERE n = 5; INSERT INTO work (k) VALUES (77)' --delimiter=';' | grep -E 'Number of clients|status|rror'
ask -e 'SELECT COUNT(*) FROM work WHERE k = 77'
step mysqlshow-and-mysqladmin
call mysqlshow "$WEIR_SCHEMA"
call mysqladmin ping
call mysqladmin status | sed -E 's/[0-9.]+/N/g'
call mysqladmin version | grep -E '^(Protocol version|Connection)' | sed -E 's/[0-9.]+/N/g'
call mysqladmin processlist | grep -c "$WEIR_USER" | sed 's/^[1-9][0-9]*$/some/'
step reconnect-and-reset
ask --commands -e 'SET @a = 1; resetconnection; SELECT @a, DATABASE(); connect; SELECT DATABASE()' | sed -E 's/Connection id: +[0-9]+/Connection id: N/'
echo "== end"
