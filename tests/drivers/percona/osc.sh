# pt-online-schema-change: a table is copied and swapped by triggers while others write to it.
set -u
cd "$WEIR_SCRATCH"
. "$OLDPWD/../writer.sh"
step() { echo "== $*"; }
# Its words without the time, and what it tells of rows by the minute.
osc() {
  local table=$1; shift
  $OSC "$@" "h=$WEIR_HOST,P=$WEIR_PORT,D=$WEIR_SCHEMA,t=$table,u=$WEIR_USER,p=$WEIR_PASSWORD,A=utf8mb4" --recursion-method=none > osc.log 2>&1
  echo "status $?"
  sed -E 's/^[0-9T:-]+ //; s/ [0-9T:.-]+( |$)/ /g' osc.log | grep -vE '^(Copying|#|No slaves|Not checking)|% [0-9:]+ remain|Wait'
}

echo "# version $($OSC --version | sed -E 's/.* //')"
step dry-run
writer_tables orders
osc orders --alter 'ADD COLUMN extra INT NOT NULL DEFAULT 7' --dry-run
ask -e 'SHOW TABLES' | grep -c orders
step add-a-column-while-others-write
writer_begin orders
writer_wait 2
osc orders --alter 'ADD COLUMN extra INT NOT NULL DEFAULT 7, ADD KEY (v)' --chunk-size=500 --chunk-time=0 --sleep=0.02 --execute
writer_wait 2
writer_end
writer_check orders
ask -e 'SHOW CREATE TABLE orders; SELECT COUNT(*) FROM orders WHERE extra <> 7; SHOW TRIGGERS' | sed -E 's/AUTO_INCREMENT=[0-9]+/AUTO_INCREMENT=N/'
ask -e 'SHOW TABLES'
step change-a-type
osc orders --alter 'MODIFY v VARCHAR(200) NOT NULL, ENGINE=InnoDB' --no-drop-old-table --execute
ask -e 'SELECT COUNT(*) FROM _orders_old; DROP TABLE _orders_old' | sed 's/^[1-9][0-9]*$/some/'
writer_check orders
step foreign-keys
osc people --alter 'ADD COLUMN extra INT' --alter-foreign-keys-method=rebuild_constraints --execute
ask -e 'SHOW CREATE TABLE items; SELECT COUNT(*) FROM people WHERE extra IS NULL; INSERT INTO items (person_id) VALUES (99999)' | sed -E 's/AUTO_INCREMENT=[0-9]+/AUTO_INCREMENT=N/'
step refusals
osc work --alter 'DROP COLUMN none' --execute
osc none --alter 'ADD COLUMN a INT' --execute
ask -e 'SHOW TABLES'
echo "== end"
