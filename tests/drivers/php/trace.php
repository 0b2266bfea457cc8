<?php
// What scripts print: a step's name, then lines in which a value stands with its type, so that equal lines are equal values.
function say(...$words) { echo implode(" ", array_map("strval", $words)), "\n"; }
function cut($text) { return strlen($text) <= 100 ? json_encode(mb($text)) : strlen($text) . " " . sha1($text); }
// Bytes that are no text as hexadecimal digits.
function mb($text) { return preg_match("//u", $text) ? $text : "hex " . bin2hex($text); }
function value($v) {
  if ($v === null) return "NULL";
  if (is_array($v)) { $all = []; foreach ($v as $key => $one) $all[] = "$key: " . value($one); return "[" . implode(", ", $all) . "]"; }
  if (is_object($v)) return value(get_object_vars($v));
  if (is_bool($v)) return "bool:" . ($v ? "true" : "false");
  if (is_string($v)) return "string:" . cut($v);
  return gettype($v) . ":" . var_export($v, true);
}
function env($name) { return getenv("WEIR_" . $name); }
// A step that fails in a way that it did not foresee says so, and the next goes on.
function main($version, $steps) {
  say("# version", $version);
  foreach ($steps as $name => $run) {
    say("==", $name);
    try { $run(); } catch (Throwable $e) { say("!", get_class($e), str_replace("\n", " ", $e->getMessage()), "line", $e->getLine()); }
  }
  say("== end");
}
// Statements that each of PHP's drivers runs, in this order.
const WRITES = ["INSERT INTO people (name, age, balance) VALUES ('Barbara', 79, 99.99)", "INSERT INTO people (name) VALUES ('x1'), ('x2'), ('x3')", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "DELETE FROM people WHERE name = 'x2'", "INSERT INTO people (name, age) VALUES ('Ada', 1) ON DUPLICATE KEY UPDATE age = 37", "REPLACE INTO numbers VALUES (1), (2000)", "INSERT IGNORE INTO numbers VALUES (1), (2001)", "SHOW WARNINGS", "SELECT id, name, age FROM people ORDER BY id"];
const ERRORS = ["SELEC 1", "SELECT * FROM no_such_table", "SELECT nope FROM people", "INSERT INTO people (name) VALUES ('Ada')", "INSERT INTO people (name) VALUES (NULL)", "INSERT INTO items (person_id) VALUES (99999)", "DELETE FROM people WHERE id = 1", "INSERT INTO types (id, ti) VALUES (9, 1000)", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000", "CALL no_such_procedure()", "USE no_such_schema"];
const SESSION = ["CREATE TEMPORARY TABLE temp (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)", "INSERT INTO temp (v) VALUES ('a'), ('b')", "SELECT * FROM temp", "DROP TEMPORARY TABLE temp", "SET @a = 5, @b = 'text', @d = 1.25", "SELECT @a, @b, @d", "SET time_zone = '+05:30'", "SELECT @@time_zone, ts FROM types WHERE id = 1", "SET time_zone = DEFAULT", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT \"name\" FROM people WHERE id = 1", "SET SESSION sql_mode = DEFAULT", "SET NAMES latin1", "SELECT @@collation_connection", "SET NAMES utf8mb4", "SELECT '😀' AS smile", "SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n <= 1000 ORDER BY n LIMIT 2", "SELECT FOUND_ROWS() AS f", "SHOW TABLES", "EXPLAIN SELECT name FROM people WHERE id = 1"];
