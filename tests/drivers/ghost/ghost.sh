# gh-ost: a table is copied by reading the binary log, and swapped, while others write to it.
set -u
cd "$WEIR_SCRATCH"
. "$OLDPWD/../writer.sh"
step() { echo "== $*"; }
# `--azure` is its way to say that a server's own port is not the one that it is reached at.
migrate() {
  rm -f "$WEIR_SCRATCH/ghost.sock"; [ -e ghost.log ] && mv ghost.log first.log
  "$GHOST" --host="$WEIR_HOST" --port="$WEIR_PORT" --user="$WEIR_USER" --password="$WEIR_PASSWORD" --database="$WEIR_SCHEMA" --table=orders --azure \
    --assume-master-host="$WEIR_HOST:$WEIR_PORT" --allow-on-master --execute --chunk-size=500 --initially-drop-ghost-table --initially-drop-old-table \
    --ok-to-drop-table --default-retries=3 --cut-over-lock-timeout-seconds=2 --serve-socket-file="$WEIR_SCRATCH/ghost.sock" "$@" > ghost.log 2>&1
  echo "status $?"
  grep -c '^# Done' ghost.log
}
show() { ask -e 'SHOW CREATE TABLE orders' | sed -E 's/AUTO_INCREMENT=[0-9]+/AUTO_INCREMENT=N/'; ask -e 'SHOW TABLES' | grep orders; }

echo "# version $(sed -n 's/.*gh-ost v//p' "$OLDPWD/go.mod")"
step in-two-steps
writer_tables orders
writer_begin orders
writer_wait 2
migrate --alter='ADD COLUMN extra INT NOT NULL DEFAULT 7' --cut-over=two-step
writer_wait 2
writer_end orders
# Its two steps leave an instant without the table: who writes then is told so.
writer_check orders
show
step in-one-step
# It waits until the process list shows a session by its id, which through a gate it never does: it gives up.
migrate --alter='ADD KEY (v), MODIFY d DECIMAL(14,4)'
show
step left-alone
# Whatever came of it, the table holds what was written, and nobody else's lock is left.
writer_check orders
ask -e 'ALTER TABLE orders COMMENT = "can be altered"; INSERT INTO orders (turn, v) VALUES (0, "can be written"); SELECT COUNT(*) FROM performance_schema.metadata_locks WHERE LOCK_TYPE = "USER LEVEL LOCK" AND OBJECT_NAME LIKE "gh-ost%"'
echo "== end"
