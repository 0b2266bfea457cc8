# mydumper and myloader: several connections dump one state of the data, and restore it side by side.
set -u
cd "$WEIR_SCRATCH"
. "$OLDPWD/../writer.sh"
step() { echo "== $*"; }
LOGIN_OF=(--host "$WEIR_HOST" --port "$WEIR_PORT" --user "$WEIR_USER" --password "$WEIR_PASSWORD")
call() { "$@" > said 2>&1; echo "status $?"; sed -E 's/^[0-9: -]+//; s/^\*\* ([^ ]*:)?[0-9]+: ?//; s/[Tt]hread [0-9]+/thread N/; s/connection( ID)? [0-9]+/connection N/' said | grep -iE 'error|critical|fail|denied|warning' | sort -u | head -8; }
sums() { for table in types people items work numbers orders twin; do ask -e "CHECKSUM TABLE $1.$table" | cut -f 2; done; }

echo "# version $($DUMPER --version | sed -E 's/mydumper ([0-9.]+).*/\1/')"
step dump
# No routines: this version writes them so that MySQL 9.7 itself does not take them back.
writer_tables orders
call $DUMPER "${LOGIN_OF[@]}" --database "$WEIR_SCHEMA" --outputdir dump --threads 3 --rows 5000 --triggers
ls dump | sed 's/\.[0-9]*\.sql/.N.sql/' | sort | uniq -c
step restore
# Without its option --enable-binlog what it restores is never on a replica, where others may look.
call $LOADER "${LOGIN_OF[@]}" --enable-binlog --directory dump --database "${WEIR_SCHEMA}_2" --threads 3 --overwrite-tables
diff <(sums "$WEIR_SCHEMA") <(sums "${WEIR_SCHEMA}_2") > /dev/null && echo "the checksums are equal" || echo "! the checksums differ"
ask -e "SELECT name FROM ${WEIR_SCHEMA}_2.elders ORDER BY id"
step dump-while-others-write
writer_begin orders
writer_wait 3
call $DUMPER "${LOGIN_OF[@]}" --database "$WEIR_SCHEMA" --outputdir moment --threads 3 --tables-list "$WEIR_SCHEMA.orders,$WEIR_SCHEMA.twin" --rows 2000
writer_wait 3
writer_end
call $LOADER "${LOGIN_OF[@]}" --enable-binlog --directory moment --database "${WEIR_SCHEMA}_2" --threads 3 --overwrite-tables
# One moment: both tables alike, though one was read after the other.
ask -e "SELECT COUNT(*) FROM (SELECT * FROM ${WEIR_SCHEMA}_2.orders EXCEPT SELECT * FROM ${WEIR_SCHEMA}_2.twin) d; SELECT COUNT(*) > 0 FROM ${WEIR_SCHEMA}_2.orders"
echo "== end"
