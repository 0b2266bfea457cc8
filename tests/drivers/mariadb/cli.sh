# MariaDB's programs on MySQL: mariadb, mariadb-dump, mariadb-import, mariadb-slap, mariadb-show, mariadb-admin.
set -u
cd "$WEIR_SCRATCH"
LOGIN=(--no-defaults --protocol=TCP --host="$WEIR_HOST" --port="$WEIR_PORT" --user="$WEIR_USER" --plugin-dir="$MARIADB_PLUGIN_DIR")
export MYSQL_PWD=$WEIR_PASSWORD
step() { echo "== $*"; }
call() { local program=$1; shift; $RUN "$BIN/$program" "${LOGIN[@]}" "$@" 2>&1 | sed -E 's/\([0-9.]+ sec\)/(T sec)/; /^$/d'; echo "status ${PIPESTATUS[0]}"; }
ask() { call mariadb --default-character-set=utf8mb4 "$WEIR_SCHEMA" "$@"; }

echo "# version $($RUN "$BIN/mariadb" --version | sed -E 's/.*(Distrib|from) ([0-9.]+).*/\2/')"

step batch
ask --batch -e 'SELECT 1 AS a; SELECT id, name, age, balance FROM people ORDER BY id; SELECT NULL, "", 0x4142 AS x'
step types-with-columns
ask --column-type-info --binary-as-hex -vvv -e 'SELECT * FROM types ORDER BY id'
step vertical-and-xml
ask -E -e 'SELECT * FROM types WHERE id < 3 ORDER BY id'
ask --xml -e 'SELECT id, vc, js, dt FROM types ORDER BY id'
step affected-rows-and-warnings
ask -vvv --show-warnings -e "INSERT INTO people (name) VALUES ('x1'), ('x2'); UPDATE people SET age = 5 WHERE name LIKE 'x%'; UPDATE people SET age = 5 WHERE name LIKE 'x%'; SELECT LAST_INSERT_ID(); SELECT '1x' + 1; DELETE FROM people WHERE name = 'x2'; DROP TABLE IF EXISTS none"
step errors
for sql in 'SELEC 1' 'SELECT * FROM none' "INSERT INTO people (name) VALUES ('Ada')" 'CALL none()' 'USE none' 'SELECT 1; SELECT nope; SELECT 3'; do ask --force -e "$sql"; done
step scripts
cat > script.sql <<'S'
DELIMITER $$
CREATE PROCEDURE mine(OUT a INT) BEGIN SET a = 42; SELECT 'inside'; END$$
DELIMITER ;
CALL mine(@a); SELECT @a;
START TRANSACTION; INSERT INTO work (k) VALUES (1); SAVEPOINT s; INSERT INTO work (k) VALUES (2); ROLLBACK TO s; COMMIT;
SELECT k FROM work ORDER BY id;
CREATE TEMPORARY TABLE t (a INT); INSERT INTO t VALUES (1),(2); SELECT SUM(a) FROM t;
USE information_schema
SELECT DATABASE();
S
ask --table < script.sql
step procedures
ask -e 'SET @b = 10; CALL two_results(3, @b, @c); SELECT @b, @c'
ask -e 'CALL fails_late()'
step status
ask -e 'status' | grep -E '^(Current database|Current user|Protocol|Server charac|Db     charac|Client charac|Conn.  charac|Using delimiter|Server:)'
step tls
ask --ssl -e 'SELECT COUNT(*) FROM people'
ask --ssl --tls-version=TLSv1.2 -e 'SELECT COUNT(*) FROM types'
step compression
ask --compress -e 'SELECT COUNT(*), REPEAT(MIN(name), 2000) FROM people' | cut -c 1-200
step wrong-logins
MYSQL_PWD=wrong ask -e 'SELECT 1' | sed -E "s/@'[^']*'/@HOST/"
call mariadb none -e 'SELECT 1'
step local-infile
ask --local-infile=1 -vvv --show-warnings -e "LOAD DATA LOCAL INFILE 'rows.csv' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'"
ask -e 'SELECT * FROM loaded ORDER BY id, name'
ask --local-infile=0 -e "LOAD DATA LOCAL INFILE 'rows.csv' INTO TABLE loaded"
ask --local-infile=1 -e "LOAD DATA LOCAL INFILE 'no-such-file' INTO TABLE loaded"
step import
printf '11\timported\t1.25\n12\t\\N\t2\n' > loaded.txt
call mariadb-import --local "$WEIR_SCHEMA" loaded.txt
ask -e 'SELECT COUNT(*), SUM(id) FROM loaded'
step dump-restored
call mariadb-dump --single-transaction --skip-comments --hex-blob "$WEIR_SCHEMA" people items work numbers locks loaded > dump.sql
grep '^status' dump.sql
grep -v '^status ' dump.sql | $RUN "$BIN/mariadb" "${LOGIN[@]}" "${WEIR_SCHEMA}_2" 2>&1; echo "status $?"
for table in people items work numbers locks loaded; do
  $RUN "$BIN/mariadb" "${LOGIN[@]}" -N -e "CHECKSUM TABLE $WEIR_SCHEMA.$table, ${WEIR_SCHEMA}_2.$table" | awk -v t=$table '{sum[NR] = $2} END {print t, (NR == 2 && sum[1] == sum[2]) ? "equal" : "! differs"}'
done
step slap
call mariadb-slap --concurrency=4 --iterations=2 --number-of-queries=200 --create-schema="$WEIR_SCHEMA" --query='SELECT n FROM numbers WHERE n = 5; INSERT INTO work (k) VALUES (77)' --delimiter=';' | grep -E 'Number of clients|status|rror'
ask -e 'SELECT COUNT(*) FROM work WHERE k = 77'
step show-and-admin
call mariadb-show "$WEIR_SCHEMA"
call mariadb-admin ping
call mariadb-admin status | sed -E 's/[0-9.]+/N/g'
echo "== end"
