<?php
require "trace.php";
function open($options = [], $schema = null, $password = null) {
  $dsn = "mysql:host=" . env("HOST") . ";port=" . env("PORT") . ";dbname=" . ($schema ?? env("SCHEMA")) . ";charset=utf8mb4";
  return new PDO($dsn, env("USER"), $password ?? env("PASSWORD"), $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}
function told($e) { say("error", $e->getCode(), value($e->errorInfo ?? $e->getMessage())); }
function result($s) {
  do {
    for ($at = 0; $at < $s->columnCount(); $at++) { $meta = $s->getColumnMeta($at); if ($meta) ksort($meta); say("column", value($meta)); }
    if ($s->columnCount()) foreach ($s->fetchAll(PDO::FETCH_NUM) as $row) say("row", value($row));
    say("rows", $s->rowCount());
  } while ($s->nextRowset());
}
function ask($c, $sql, $values = null) {
  try {
    if ($values === null) $s = $c->query($sql); else { $s = $c->prepare($sql); $s->execute($values); }
    result($s);
    say("id", $c->lastInsertId());
  } catch (PDOException $e) { told($e); }
}
$c = null;
$steps = [
  "connect" => function () {
    $emulated = open();
    ask($emulated, "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone");
    foreach ([[null, "wrong"], ["no_such_schema", null]] as [$schema, $password])
      try { open([], $schema, $password); say("! it was let in"); } catch (PDOException $e) { say("error", $e->getCode()); }
    say(value($emulated->getAttribute(PDO::ATTR_DRIVER_NAME)), value($emulated->getAttribute(PDO::ATTR_AUTOCOMMIT)));
  },
];
foreach (["emulated" => [], "native" => [PDO::ATTR_EMULATE_PREPARES => false, PDO::ATTR_STRINGIFY_FETCHES => false]] as $kind => $options) {
  $steps += [
    // One after the other: a CALL that sets a variable keeps its connection.
    "opens-$kind" => function () use (&$c, $options) { $c = null; $c = open($options); ask($c, "SELECT DATABASE()"); },
    "types-$kind" => function () use (&$c) { foreach ([1, 2, 3, 4] as $id) ask($c, "SELECT * FROM types WHERE id = ?", [$id]); },
    "parameters-$kind" => function () use (&$c) {
      foreach ([[1, PDO::PARAM_INT], [PHP_INT_MAX, PDO::PARAM_INT], ["text", PDO::PARAM_STR], ["it's \\ \"q\"", PDO::PARAM_STR], ["😀 ünï", PDO::PARAM_STR], ["", PDO::PARAM_STR], [null, PDO::PARAM_NULL], [true, PDO::PARAM_BOOL], ["\0\xff'\\", PDO::PARAM_LOB]] as [$v, $type]) {
        try {
          $s = $c->prepare("SELECT HEX(:v) AS v");
          $s->bindValue(":v", $v, $type);
          $s->execute();
          result($s);
        } catch (PDOException $e) { told($e); }
      }
    },
    "writes-$kind" => function () use (&$c, $kind) {
      foreach (WRITES as $sql) ask($c, $sql);
      ask($c, "INSERT INTO people (name, age, balance) VALUES (?, ?, ?)", ["Frances $kind", 88, "1.25"]);
      ask($c, "SELECT LAST_INSERT_ID()");
    },
    "batches-$kind" => function () use (&$c) {
      $c->beginTransaction();
      $s = $c->prepare("INSERT INTO work (k, v) VALUES (?, ?)");
      for ($n = 0; $n < 100; $n++) $s->execute([$n, "value $n"]);
      $c->commit();
      ask($c, "SELECT COUNT(*), MAX(id) FROM work");
    },
    "errors-$kind" => function () use (&$c) { foreach (ERRORS as $sql) { say("--", $sql); ask($c, $sql); ask($c, $sql, []); } },
    "transactions-$kind" => function () use (&$c) {
      $c->beginTransaction();
      ask($c, "INSERT INTO work (k) VALUES (1000)");
      say(value($c->inTransaction()));
      $c->rollBack();
      say(value($c->inTransaction()));
      ask($c, "SELECT COUNT(*) FROM work WHERE k = 1000");
      $c->setAttribute(PDO::ATTR_AUTOCOMMIT, 0);
      ask($c, "INSERT INTO work (k) VALUES (1001)");
      $c->commit();
      $c->setAttribute(PDO::ATTR_AUTOCOMMIT, 1);
      ask($c, "SELECT COUNT(*) FROM work WHERE k = 1001");
      $c->beginTransaction();
      ask($c, "CREATE TABLE IF NOT EXISTS ddl_commits (id INT)");
      say(value($c->inTransaction()));
    },
    "procedures-$kind" => function () use (&$c) {
      ask($c, "SET @b = 10");
      ask($c, "CALL two_results(3, @b, @c)");
      ask($c, "SELECT @b, @c");
      ask($c, "CALL two_results(?, @b, @c)", [2]);
      ask($c, "CALL fails_late()");
      if ($c->getAttribute(PDO::ATTR_EMULATE_PREPARES)) ask($c, "SELECT 1 AS a; INSERT INTO work (k) VALUES (3000), (3001); SELECT NULL");
      ask($c, "SELECT 'after'");
    },
    "session-$kind" => function () use (&$c) { foreach (SESSION as $sql) { say("--", $sql); ask($c, $sql); } },
  ];
}
$steps += [
  "unbuffered" => function () use (&$c) {
    $c = null;
    $c = open([PDO::MYSQL_ATTR_USE_BUFFERED_QUERY => false]);
    $s = $c->query("SELECT n FROM numbers WHERE n <= 1000 ORDER BY n");
    $sum = 0;
    while ($row = $s->fetch(PDO::FETCH_NUM)) $sum += $row[0];
    say("sum", $sum);
    $s = $c->query("SELECT n FROM numbers ORDER BY n");
    say(value($s->fetch(PDO::FETCH_NUM)));
    $s->closeCursor();
    ask($c, "SELECT 'after'");
  },
  "load-data" => function () use (&$c) {
    $c = null;
    $c = open([PDO::MYSQL_ATTR_LOCAL_INFILE => true]);
    ask($c, "LOAD DATA LOCAL INFILE '" . env("SCRATCH") . "/rows.csv' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'");
    ask($c, "SELECT * FROM loaded ORDER BY id, name");
  },
  "options" => function () use (&$c) {
    $c = null;
    $c = open([PDO::MYSQL_ATTR_FOUND_ROWS => true, PDO::MYSQL_ATTR_INIT_COMMAND => "SET time_zone = '+02:00', @started = 1"]);
    ask($c, "UPDATE people SET age = age WHERE id < 3");
    ask($c, "SELECT @@time_zone, @started");
    $c = null;
    $c = open([PDO::ATTR_PERSISTENT => true]);
    ask($c, "SELECT @@time_zone, @started");
  },
  "encrypted" => function () use (&$c) {
    $c = null;
    $c = open([PDO::MYSQL_ATTR_SSL_CA => "/dev/null", PDO::MYSQL_ATTR_SSL_CIPHER => "DEFAULT", PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => false]);
    ask($c, "SELECT name FROM people WHERE id <= 3 ORDER BY id");
  },
];
main(PHP_VERSION, $steps);
