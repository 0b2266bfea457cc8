# mysql2: Ruby's driver on the C client library.
require "bigdecimal"
require "mysql2"
require "mysql2/version" rescue nil

def env(name) = ENV["WEIR_" + name]
def say(*words) = puts(words.join(" ").gsub("\n", "\\n"))
def value(v)
  return "NULL" if v.nil?
  return "decimal:#{v.to_s("F")}" if v.is_a?(BigDecimal)
  return "time:#{v.utc.strftime("%F %T.%6N")}" if v.is_a?(Time)
  return "[#{v.map { |one| value(one) }.join(", ")}]" if v.is_a?(Array)
  return "#{v.class}:#{v}" unless v.is_a?(String)
  v.bytesize > 100 ? "string:#{v.bytesize} #{v.sum(64)}" : "string:#{v.encoding}:#{v.inspect}"
end
def open(**more) = Mysql2::Client.new(host: env("HOST"), port: env("PORT").to_i, username: env("USER"), password: env("PASSWORD"), database: env("SCHEMA"), encoding: "utf8mb4", database_timezone: :utc, flags: Mysql2::Client::MULTI_STATEMENTS, get_server_public_key: true, **more)
def failed(e) = say("error", e.class, e.error_number || "-", e.sql_state || "-", e.message.sub(/\d+ ms/, "ms"))
def result(r)
  return if r.nil?
  say("fields", value(r.fields), r.respond_to?(:field_types) ? value(r.field_types) : "")
  r.each(as: :array) { |row| say("row", value(row)) }
end
def ask(c, sql)
  result(c.query(sql))
  say("affected", c.affected_rows, "id", c.last_id, "warnings", c.warning_count)
  while c.next_result
    result(c.store_result)
  end
rescue Mysql2::Error => e
  failed(e)
end
def prepared(c, sql, *values)
  s = c.prepare(sql)
  result(s.execute(*values))
  say("affected", s.affected_rows, "id", s.last_id)
  s.close
rescue Mysql2::Error => e
  failed(e)
end

$c = open
STEPS = {
  "connect" => -> {
    ask($c, "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone")
    ask($c, "SELECT CONNECTION_ID() = #{$c.thread_id} AS same")
    [{ password: "wrong" }, { database: "no_such_schema" }].each do |wrong|
      open(**wrong)
      say("! it was let in")
    rescue Mysql2::Error => e
      say("error", e.error_number, e.sql_state)
    end
  },
  "types-text" => -> { ask($c, "SELECT * FROM types ORDER BY id") },
  "types-prepared" => -> { 
    # It cannot make a Time of the largest TIME.
    (1..4).each do |id|
      c = open
      prepared(c, "SELECT * FROM types WHERE id = ?", id)
    rescue ArgumentError => e
      say("error", e.class, e.message)
    ensure
      c.close
    end
  },
  "parameters" => -> { [1, 2**63 - 1, 2**64 - 1, 1.5, BigDecimal("1.25"), "text", "it's \\ \"q\"", "😀 ünï", "", nil, true, Time.utc(2024, 2, 29, 1, 2, 3, 456789)].each_with_index { |v, n| prepared($c, "SELECT HEX(?) AS v /* #{n} */", v) } },
  "writes" => -> {
    ["INSERT INTO people (name) VALUES ('x1'), ('x2'), ('x3')", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "DELETE FROM people WHERE name = 'x2'", "INSERT IGNORE INTO numbers VALUES (1), (2001)", "SHOW WARNINGS"].each { |sql| ask($c, sql) }
    prepared($c, "INSERT INTO people (name, age) VALUES (?, ?)", "Frances", 88)
    ask($c, "SELECT id, name, age FROM people ORDER BY id")
    say($c.escape("it's \"q\" \\"))
  },
  "errors" => -> { ["SELEC 1", "SELECT * FROM no_such_table", "INSERT INTO people (name) VALUES ('Ada')", "INSERT INTO people (name) VALUES (NULL)", "DELETE FROM people WHERE id = 1", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000"].each { |sql| ask($c, sql); prepared($c, sql) } },
  "transactions" => -> {
    other = open
    ["BEGIN", "INSERT INTO work (k) VALUES (1000)"].each { |sql| ask($c, sql) }
    ask(other, "SELECT COUNT(*) FROM work WHERE k = 1000")
    ask($c, "COMMIT")
    ask(other, "SELECT COUNT(*) FROM work WHERE k = 1000")
    other.close
  },
  "procedures" => -> {
    c = open
    ["SET @b = 10", "CALL two_results(3, @b, @c)", "SELECT @b, @c", "CALL fails_late()", "SELECT 1 AS a; INSERT INTO work (k) VALUES (3000), (3001); SELECT NULL"].each { |sql| ask(c, sql) }
    c.close
  },
  "streaming" => -> {
    say("sum", $c.query("SELECT n FROM numbers WHERE n <= 1000", stream: true, cache_rows: false, as: :array).sum { |row| row[0] })
    ask($c, "SELECT 'after'")
  },
  "asynchronous" => -> {
    $c.query("SELECT n FROM numbers WHERE n <= 3 ORDER BY n", async: true)
    result($c.async_result)
  },
  "load-data" => -> {
    c = open(local_infile: true)
    ask(c, "LOAD DATA LOCAL INFILE '#{env("SCRATCH")}/rows.csv' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'")
    ask(c, "SELECT * FROM loaded ORDER BY id, name")
    c.close
  },
  "session" => -> { ["CREATE TEMPORARY TABLE temp (id INT)", "INSERT INTO temp VALUES (1)", "SELECT * FROM temp", "DROP TEMPORARY TABLE temp", "SET @a = 5, @b = 'text'", "SELECT @a, @b", "SET time_zone = '+05:30'", "SELECT @@time_zone, ts FROM types WHERE id = 1", "SET time_zone = DEFAULT", "SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n <= 1000 ORDER BY n LIMIT 2", "SELECT FOUND_ROWS() AS f", "SHOW TABLES"].each { |sql| ask($c, sql) } },
  "settings" => -> {
    c = open(init_command: "SET @started = 1", connect_attrs: { program_name: "drivers-test" }, flags: Mysql2::Client::FOUND_ROWS)
    ask(c, "SELECT @started")
    ask(c, "UPDATE people SET age = age WHERE id < 3")
    say(c.ping, c.select_db(env("SCHEMA") + "_2"))
    ask(c, "SELECT DATABASE()")
    c.close
  },
  "encrypted" => -> {
    c = open(ssl_mode: :required)
    ask(c, "SELECT name FROM people WHERE id <= 3 ORDER BY id")
    say("has a cipher", !c.ssl_cipher.to_s.empty?)
    c.close
  },
  "closes" => -> { $c.close; ask($c, "SELECT 1") },
}
say("# version", Mysql2::VERSION)
STEPS.each do |name, run|
  say("==", name)
  run.call
rescue StandardError => e
  say("!", e.class, e.message)
end
say("== end")
