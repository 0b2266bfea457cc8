# For tools that alter a table while others write to it: `writer_begin TABLE` writes to TABLE and its twin until `writer_end`.
#
# Each turn is one login and one transaction that does the same to both tables; its number is noted when the COMMIT was acknowledged.
# Afterwards both tables hold the same, and of each turn that was acknowledged all, of each other nothing.
LOGIN=(--no-defaults --protocol=TCP --host="$WEIR_HOST" --port="$WEIR_PORT" --user="$WEIR_USER" --get-server-public-key)
export MYSQL_PWD=$WEIR_PASSWORD
ask() { "$BIN/mysql" "${LOGIN[@]}" --default-character-set=utf8mb4 "$WEIR_SCHEMA" -N "$@" 2>&1; }

# A table of some size, and the twin that nobody alters.
writer_tables() {
  ask -e "CREATE TABLE $1 (id INT PRIMARY KEY AUTO_INCREMENT, turn INT NOT NULL, v VARCHAR(100) NOT NULL, raw VARBINARY(40), at TIMESTAMP(6) NULL, d DECIMAL(12,4), KEY (turn));
    INSERT INTO $1 (turn, v, raw, at, d) SELECT 0, CONCAT('ü 😀 ', a.n), UNHEX(SHA2(a.n, 256)), '2024-02-29 01:02:03.456789', a.n / 7 FROM numbers a, numbers b WHERE a.n <= 1000 AND b.n <= 20;
    CREATE TABLE twin LIKE $1; INSERT INTO twin SELECT * FROM $1"
}

writer_begin() {
  rm -f "$WEIR_SCRATCH/stop"; touch "$WEIR_SCRATCH/done" "$WEIR_SCRATCH/turn"; : > "$WEIR_SCRATCH/failed"
  (
    # It may be begun again.
    turn=$(($(cat "$WEIR_SCRATCH/turn") + 0))
    while [ ! -e "$WEIR_SCRATCH/stop" ]; do
      turn=$((turn + 1)); echo "$turn" > "$WEIR_SCRATCH/turn"
      text="START TRANSACTION; "
      for table in "$1" twin; do
        text+="INSERT INTO $table (id, turn, v, raw, at, d) VALUES (1000000 + $turn * 10, $turn, 'neu ü 😀', x'00ff$(printf %04x $((turn % 65536)))', '2024-03-01 00:00:00.5', $turn / 3), (1000001 + $turn * 10, $turn, '', NULL, NULL, NULL);
          UPDATE $table SET v = CONCAT('turn ', $turn), turn = $turn WHERE id = $turn * 7; DELETE FROM $table WHERE id = $turn * 11; REPLACE INTO $table (id, turn, v) VALUES ($turn * 13, $turn, 'replaced');"
      done
      if ask -e "$text COMMIT" > "$WEIR_SCRATCH/said"; then echo "$turn" >> "$WEIR_SCRATCH/done"; else cat "$WEIR_SCRATCH/said" >> "$WEIR_SCRATCH/failed"; fi
    done
  ) &
  WRITER=$!
}

# Until so many more turns were acknowledged.
writer_wait() {
  local enough; enough=$(($(wc -l < "$WEIR_SCRATCH/done") + $1))
  for _ in $(seq 400); do [ "$(wc -l < "$WEIR_SCRATCH/done")" -ge "$enough" ] && return; sleep 0.05; done
}

writer_end() {
  touch "$WEIR_SCRATCH/stop"; wait "$WRITER"
  local turns; turns=$(wc -l < "$WEIR_SCRATCH/done")
  [ "$turns" -ge 5 ] && echo "the writer wrote" || echo "! only $turns turns were written"
  # What a tool may do to others: make them wait too long, lose a deadlock, or find nothing between two renames; anything else is said.
  grep -v -e 'ERROR 1205 ' -e 'ERROR 1213 ' -e "ERROR 1146 .*${1:-none}" "$WEIR_SCRATCH/failed" | head -3 | sed 's/^/! /'
}

# Whether TABLE and the twin hold the same, and all that was acknowledged.
writer_check() {
  local sum="SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', id, turn, v, HEX(raw), at, d))), BIT_XOR(CRC32(CONCAT_WS('|', id, turn, v, HEX(raw), at, d))) FROM"
  [ "$(ask -e "$sum $1")" = "$(ask -e "$sum twin")" ] && echo "the tables are equal" || { echo "! the tables differ"; ask -e "$sum $1; $sum twin"; }
  ask -e "SELECT id DIV 10 - 100000 FROM $1 WHERE id >= 1000010 AND id % 10 = 1 ORDER BY id" > "$WEIR_SCRATCH/there"
  cmp -s "$WEIR_SCRATCH/there" "$WEIR_SCRATCH/done" && echo "what was acknowledged is there, and nothing else" || { echo "! acknowledged and there:"; diff "$WEIR_SCRATCH/done" "$WEIR_SCRATCH/there" | head -5; }
}
