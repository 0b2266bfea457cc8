<?php
require "trace.php";
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
function open($schema = null, $password = null, $flags = 0, $local = false) {
  $c = mysqli_init();
  $c->options(MYSQLI_OPT_LOCAL_INFILE, $local);
  $c->real_connect(env("HOST"), env("USER"), $password ?? env("PASSWORD"), $schema ?? env("SCHEMA"), (int) env("PORT"), null, $flags);
  $c->set_charset("utf8mb4");
  return $c;
}
function told($e) { say("error", $e->getCode(), $e instanceof mysqli_sql_exception ? $e->getSqlState() : "-", value($e->getMessage())); }
function result($r) {
  foreach ($r->fetch_fields() as $f) say("column", $f->name, $f->orgname, $f->table, $f->type, $f->length, $f->charsetnr, $f->flags, $f->decimals);
  while ($row = $r->fetch_row()) say("row", value($row));
}
function ask($c, $sql) {
  try {
    $r = $c->query($sql);
    if ($r instanceof mysqli_result) result($r);
    say("affected", $c->affected_rows, "id", $c->insert_id, "warnings", $c->warning_count, "info", value($c->info));
  } catch (Exception $e) { told($e); }
}
function prepared($c, $sql, $types, ...$values) {
  try {
    $s = $c->prepare($sql);
    if ($values) $s->bind_param($types, ...$values);
    $s->execute();
    $r = $s->get_result();
    if ($r) result($r);
    say("affected", $s->affected_rows, "id", $s->insert_id);
    $s->close();
  } catch (Exception $e) { told($e); }
}
function multi($c, $sql) {
  try {
    $c->multi_query($sql);
    do {
      if ($r = $c->store_result()) result($r); else say("no rows", $c->affected_rows, $c->insert_id);
    } while ($c->more_results() && $c->next_result());
  } catch (Exception $e) { told($e); }
}
$c = open();
main(PHP_VERSION, [
  "connect" => function () use ($c) {
    ask($c, "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone");
    ask($c, "SELECT CONNECTION_ID() = {$c->thread_id} AS same");
    say($c->character_set_name(), $c->protocol_version, $c->server_version > 90000);
    foreach ([[null, "wrong"], ["no_such_schema", null]] as [$schema, $password])
      try { open($schema, $password); say("! it was let in"); } catch (Exception $e) { say("error", $e->getCode(), $e->getSqlState()); }
  },
  "types-text" => function () use ($c) { ask($c, "SELECT * FROM types ORDER BY id"); },
  "types-prepared" => function () use ($c) { foreach ([1, 2, 3, 4] as $id) prepared($c, "SELECT * FROM types WHERE id = ?", "i", $id); },
  "parameters" => function () use ($c) {
    foreach ([["i", 1], ["i", PHP_INT_MAX], ["d", 1.5], ["s", "text"], ["s", "it's \\ \"q\""], ["s", "😀 ünï"], ["s", ""], ["s", null], ["i", null], ["s", "18446744073709551615"]] as [$type, $v]) prepared($c, "SELECT ? AS v, HEX(?) AS h", $type . $type, $v, $v);
    $s = $c->prepare("SELECT LENGTH(?) AS l, SHA2(?, 256) AS h");
    $big = str_repeat("abc\0\xff", 300000);
    $null = null;
    $s->bind_param("bb", $null, $null);
    foreach (str_split($big, 500000) as $part) { $s->send_long_data(0, $part); $s->send_long_data(1, $part); }
    $s->execute();
    result($s->get_result());
  },
  "writes" => function () use ($c) { foreach (WRITES as $sql) ask($c, $sql); prepared($c, "INSERT INTO people (name, age) VALUES (?, ?)", "si", "Frances", 88); ask($c, "SELECT LAST_INSERT_ID()"); },
  "batches" => function () use ($c) {
    $c->begin_transaction();
    $s = $c->prepare("INSERT INTO work (k, v) VALUES (?, ?)");
    for ($n = 0; $n < 200; $n++) { $s->bind_param("is", $n, $v); $v = "value $n"; $s->execute(); }
    $c->commit();
    ask($c, "SELECT COUNT(*), MAX(id), COUNT(DISTINCT v) FROM work");
  },
  "errors" => function () use ($c) { foreach (ERRORS as $sql) { say("--", $sql); ask($c, $sql); prepared($c, $sql, ""); } },
  "transactions" => function () use ($c) {
    $other = open();
    $c->begin_transaction(MYSQLI_TRANS_START_READ_WRITE);
    ask($c, "INSERT INTO work (k) VALUES (1000)");
    ask($other, "SELECT COUNT(*) FROM work WHERE k = 1000");
    $c->rollback();
    ask($c, "SELECT COUNT(*) FROM work WHERE k = 1000");
    $c->autocommit(false);
    ask($c, "INSERT INTO work (k) VALUES (1001)");
    $c->savepoint("a");
    ask($c, "INSERT INTO work (k) VALUES (1002)");
    ask($c, "ROLLBACK TO a");
    $c->commit();
    $c->autocommit(true);
    ask($other, "SELECT k FROM work WHERE k IN (1001, 1002)");
    $c->begin_transaction(MYSQLI_TRANS_START_READ_ONLY);
    ask($c, "DELETE FROM work");
    $c->rollback();
    $c->begin_transaction(MYSQLI_TRANS_START_WITH_CONSISTENT_SNAPSHOT);
    ask($c, "SELECT COUNT(*) FROM work WHERE k = 1001");
    $c->commit(MYSQLI_TRANS_COR_AND_CHAIN);
    $c->rollback();
    $other->close();
  },
  "procedures" => function () use ($c) {
    ask($c, "SET @b = 10");
    multi($c, "CALL two_results(3, @b, @c)");
    ask($c, "SELECT @b, @c");
    multi($c, "CALL fails_late()");
    $s = $c->prepare("CALL two_results(?, @b, @c)");
    $two = 2;
    $s->bind_param("i", $two);
    $s->execute();
    do { if ($r = $s->get_result()) result($r); } while ($s->more_results() && $s->next_result());
    $s->close();
  },
  "multi-results" => function () use ($c) {
    multi($c, "SELECT 1 AS a; SELECT 2 AS b; INSERT INTO work (k) VALUES (3000), (3001); DO 1; SELECT NULL");
    multi($c, "SELECT 1; SELECT * FROM no_such_table; SELECT 3");
    ask($c, "SELECT 'after'");
  },
  "streaming" => function () use ($c) {
    $r = $c->query("SELECT n, REPEAT('x', n) FROM numbers WHERE n <= 1000 ORDER BY n", MYSQLI_USE_RESULT);
    $sum = 0;
    while ($row = $r->fetch_row()) $sum += $row[0];
    say("sum", $sum);
    $r = $c->query("SELECT n FROM numbers ORDER BY n", MYSQLI_USE_RESULT);
    say(value($r->fetch_row()));
    $r->free();
    $s = $c->prepare("SELECT n FROM numbers WHERE n <= 1000 ORDER BY n");
    $s->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
    $s->execute();
    $s->bind_result($n);
    $sum = 0;
    while ($s->fetch()) $sum += $n;
    say("by a cursor", $sum);
    $s->execute();
    $s->fetch();
    say("left at", $n);
    $s->close();
    ask($c, "SELECT 'after'");
  },
  "asynchronous" => function () use ($c) {
    $c->query("SELECT n FROM numbers WHERE n <= 3 ORDER BY n", MYSQLI_ASYNC);
    $read = $error = $reject = [$c];
    say(mysqli_poll($read, $error, $reject, 10));
    result($c->reap_async_query());
  },
  "load-data" => function () {
    $sql = "LOAD DATA LOCAL INFILE '" . env("SCRATCH") . "/rows.csv' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'";
    $c = open(null, null, 0, true);
    ask($c, $sql);
    ask($c, "SHOW WARNINGS");
    ask($c, "SELECT * FROM loaded ORDER BY id, name");
    $c->close();
    $c = open();
    try { $c->query($sql); say("loaded"); } catch (Exception $e) { say("error", $e->getCode()); }
    $c->close();
  },
  "pings-and-resets" => function () use ($c) {
    ask($c, "SET @mine = 5");
    ask($c, "CREATE TEMPORARY TABLE temp (id INT)");
    say(value($c->ping()), value($c->stat() != ""));
    $c->change_user("other", "other", env("SCHEMA"));
    ask($c, "SELECT CURRENT_USER(), @mine, DATABASE()");
    ask($c, "SELECT * FROM temp");
    $c->change_user(env("USER"), env("PASSWORD"), env("SCHEMA"));
    $c->select_db(env("SCHEMA") . "_2");
    ask($c, "SELECT DATABASE()");
    $c->select_db(env("SCHEMA"));
    say(value($c->get_charset()->charset));
  },
  "session" => function () use ($c) { foreach (SESSION as $sql) { say("--", $sql); ask($c, $sql); } },
  "locks" => function () use ($c) {
    $other = open();
    ask($other, "SET SESSION innodb_lock_wait_timeout = 1");
    $c->begin_transaction();
    ask($c, "UPDATE locks SET n = n + 1 WHERE id = 1");
    ask($other, "SELECT * FROM locks WHERE id = 1 FOR UPDATE NOWAIT");
    ask($other, "UPDATE locks SET n = n + 1 WHERE id = 1");
    $other->begin_transaction();
    ask($other, "INSERT INTO work (k) SELECT n FROM numbers WHERE n <= 50");
    ask($other, "UPDATE locks SET n = 2 WHERE id = 2");
    $other->query("UPDATE locks SET n = 2 WHERE id = 1", MYSQLI_ASYNC);
    usleep(100000);
    ask($c, "UPDATE locks SET n = 1 WHERE id = 2");
    $c->rollback();
    say(value($other->reap_async_query()));
    $other->rollback();
    $other->close();
  },
  "kills" => function () use ($c) {
    $other = open();
    ask($c, "KILL QUERY {$other->thread_id}");
    ask($other, "SELECT 'lives'");
    ask($c, "KILL {$other->thread_id}");
    try { $other->query("SELECT 1"); say("! a killed connection answered"); } catch (Exception $e) { say("error", $e->getCode()); }
    ask($c, "KILL 4000000000");
  },
  "encrypted" => function () {
    $c = open(null, null, MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT);
    ask($c, "SELECT name FROM people WHERE id <= 3 ORDER BY id");
    prepared($c, "SELECT REPEAT('z', ?) AS z", "i", 100000);
    $c->close();
  },
  "flags" => function () {
    $c = open(null, null, MYSQLI_CLIENT_FOUND_ROWS | MYSQLI_CLIENT_IGNORE_SPACE | MYSQLI_CLIENT_INTERACTIVE);
    ask($c, "UPDATE people SET age = age WHERE id < 3");
    ask($c, "SELECT COUNT (*) FROM people WHERE id < 3");
    $c->close();
  },
  // No step with MYSQLI_CLIENT_COMPRESS: mysqlnd compresses without asking whether the server can, and would wait for ever.
  "closes" => function () use ($c) { $c->close(); try { $c->query("SELECT 1"); say("! a closed connection answered"); } catch (Throwable $e) { say(get_class($e), $e->getMessage()); } },
]);
