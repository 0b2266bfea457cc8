package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

type asker interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}

var ctx = context.Background()

// Runs a query and prints all results with their columns.
func ask(on asker, text string, args ...any) {
	rows, err := on.QueryContext(ctx, text, args...)
	if err != nil {
		failed(err)
		return
	}
	defer rows.Close()
	show(rows)
}

func show(rows *sql.Rows) {
	for {
		types, err := rows.ColumnTypes()
		if err != nil {
			failed(err)
			return
		}
		for _, one := range types {
			length, hasLength := one.Length()
			precision, scale, isDecimal := one.DecimalSize()
			nullable, known := one.Nullable()
			say("column", one.Name(), one.DatabaseTypeName(), one.ScanType(), length, hasLength, precision, scale, isDecimal, nullable, known)
		}
		cells := make([]any, len(types))
		into := make([]any, len(types))
		for at := range cells {
			into[at] = &cells[at]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				failed(err)
				continue
			}
			words := make([]string, len(cells))
			for at, cell := range cells {
				words[at] = value(cell)
			}
			say("row", strings.Join(words, ", "))
		}
		if err := rows.Err(); err != nil {
			failed(err)
			return
		}
		if !rows.NextResultSet() {
			if err := rows.Err(); err != nil {
				failed(err)
			}
			return
		}
	}
}

func exec(on asker, text string, args ...any) {
	result, err := on.ExecContext(ctx, text, args...)
	if err != nil {
		failed(err)
		return
	}
	affected, _ := result.RowsAffected()
	id, _ := result.LastInsertId()
	say("affected", affected, "insert id", id)
	if all, ok := result.(mysql.Result); ok {
		say("all", all.AllRowsAffected(), all.AllLastInsertIds())
	}
}

func withSQL() {
	db, err := sql.Open("mysql", dsn("&parseTime=true"))
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(3)
	c, err := db.Conn(ctx)
	if err != nil {
		panic(err)
	}
	values := []any{1, -1, int64(math.MaxInt64), uint64(math.MaxUint64), 1.5, "text", "it's \\ \"q\"", "😀 ünï", "", []byte{0, 255, 39, 92}, []byte{}, nil, true, time.Date(2024, 2, 29, 1, 2, 3, 456789000, time.UTC)}
	interpolated, err := sql.Open("mysql", dsn("&interpolateParams=true"))
	if err != nil {
		panic(err)
	}
	open := func(more string) *sql.DB {
		one, err := sql.Open("mysql", dsn(more))
		if err != nil {
			panic(err)
		}
		one.SetMaxOpenConns(1)
		return one
	}
	trace(version("github.com/go-sql-driver/mysql"), []step{
		{"connect", func() error {
			ask(c, "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone, @@transaction_isolation")
			for _, wrong := range []string{dsnOf("wrong", env("SCHEMA"), ""), dsnOf(env("PASSWORD"), "no_such_schema", "")} {
				one, err := sql.Open("mysql", wrong)
				if err != nil {
					return err
				}
				if err := one.Ping(); err != nil {
					failed(err)
				} else {
					say("! it was let in")
				}
			}
			return c.PingContext(ctx)
		}},
		{"types-text", func() error {
			ask(c, "SELECT * FROM types ORDER BY id")
			return nil
		}},
		{"types-prepared", func() error {
			stmt, err := c.PrepareContext(ctx, "SELECT * FROM types WHERE id >= ? ORDER BY id")
			if err != nil {
				return err
			}
			defer stmt.Close()
			for range 3 {
				rows, err := stmt.Query(1)
				if err != nil {
					return err
				}
				show(rows)
				rows.Close()
			}
			return nil
		}},
		{"parameters", func() error {
			for _, v := range values {
				ask(c, "SELECT HEX(?) AS v, LENGTH(?) AS l", v, v)
				ask(interpolated, "SELECT ? AS v", v)
			}
			ask(c, "SELECT id, name FROM people WHERE id IN (?, ?) AND born > ? ORDER BY id", 1, 3, time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC))
			return nil
		}},
		{"writes", func() error {
			exec(c, "INSERT INTO people (name, age, balance) VALUES (?, ?, ?)", "Barbara", 79, "99.99")
			exec(c, "INSERT INTO people (name) VALUES ('x1'), ('x2'), ('x3')")
			ask(c, "SELECT LAST_INSERT_ID()")
			for _, text := range []string{"UPDATE people SET age = 1 WHERE name LIKE 'x%'", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "DELETE FROM people WHERE name = 'x2'", "INSERT INTO people (name, age) VALUES ('Ada', 1) ON DUPLICATE KEY UPDATE age = 37", "REPLACE INTO numbers VALUES (1), (2000)", "INSERT INTO work (k) VALUES (1); UPDATE work SET v = 'x'; INSERT INTO work (k) VALUES (2), (3)"} {
				exec(c, text)
			}
			exec(c, "INSERT IGNORE INTO numbers VALUES (1), (2001)")
			ask(c, "SHOW WARNINGS")
			ask(c, "SELECT id, name, age FROM people ORDER BY id")
			return nil
		}},
		{"batches", func() error {
			tx, err := c.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			stmt, err := tx.Prepare("INSERT INTO work (k, v) VALUES (?, ?)")
			if err != nil {
				return err
			}
			for n := range 200 {
				if _, err := stmt.Exec(n, fmt.Sprint("value ", n)); err != nil {
					return err
				}
			}
			ask(tx, "SELECT COUNT(*), MAX(id) FROM work")
			return tx.Commit()
		}},
		{"big-values", func() error {
			big := []byte(strings.Repeat("abc\x00\xff", 400000))
			exec(c, "INSERT INTO work (k, big) VALUES (?, ?)", 7, big)
			ask(c, "SELECT LENGTH(big), SHA2(big, 256), big FROM work WHERE id = LAST_INSERT_ID()")
			ask(c, "SELECT REPEAT('a', ?) AS v", 3000000)
			return nil
		}},
		{"errors", func() error {
			for _, text := range []string{"SELEC 1", "SELECT * FROM no_such_table", "SELECT nope FROM people", "INSERT INTO people (name) VALUES ('Ada')", "INSERT INTO people (name) VALUES (NULL)", "INSERT INTO items (person_id) VALUES (99999)", "DELETE FROM people WHERE id = 1", "INSERT INTO types (id, ti) VALUES (9, 1000)", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000", "CALL no_such_procedure()", ""} {
				say("--", text)
				exec(c, text)
			}
			ask(c, "SELECT * FROM no_such_table WHERE id = ?", 1)
			ask(c, "SELECT ?")
			return nil
		}},
		{"transactions", func() error {
			count := func(on asker, k int) { ask(on, fmt.Sprint("SELECT COUNT(*) AS n FROM work WHERE k = ", k)) }
			other, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer other.Close()
			for _, options := range []*sql.TxOptions{nil, {Isolation: sql.LevelReadCommitted}, {Isolation: sql.LevelSerializable}, {ReadOnly: true}} {
				tx, err := c.BeginTx(ctx, options)
				if err != nil {
					return err
				}
				exec(tx, "INSERT INTO work (k) VALUES (1000)")
				count(tx, 1000)
				if err := tx.Rollback(); err != nil {
					return err
				}
				count(other, 1000)
			}
			tx, err := c.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			exec(tx, "INSERT INTO work (k) VALUES (1001)")
			exec(tx, "SAVEPOINT a")
			exec(tx, "INSERT INTO work (k) VALUES (1002)")
			exec(tx, "ROLLBACK TO a")
			if err := tx.Commit(); err != nil {
				return err
			}
			count(other, 1001)
			count(other, 1002)
			ask(c, "SELECT @@transaction_isolation, @@transaction_read_only")
			return nil
		}},
		{"procedures", func() error {
			exec(c, "SET @b = 10")
			ask(c, "CALL two_results(3, @b, @c)")
			ask(c, "SELECT @b, @c")
			ask(c, "CALL two_results(?, @b, @c)", 2)
			ask(c, "CALL fails_late()")
			ask(c, "SELECT 1 AS a; SELECT 2 AS b, 'x' AS c; SELECT NULL")
			ask(c, "SELECT 1; SELECT * FROM no_such_table; SELECT 3")
			return nil
		}},
		{"streaming", func() error {
			rows, err := c.QueryContext(ctx, "SELECT a.n FROM numbers a, numbers b ORDER BY a.n LIMIT 100000")
			if err != nil {
				return err
			}
			sum, n := 0, 0
			for range 5000 {
				rows.Next()
				if err := rows.Scan(&n); err != nil {
					return err
				}
				sum += n
			}
			say("sum", sum)
			// The rest is thrown away.
			if err := rows.Close(); err != nil {
				return err
			}
			ask(c, "SELECT 'after'")
			return nil
		}},
		{"cancelled", func() error {
			short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
			defer stop()
			one := open("")
			defer one.Close()
			_, err := one.ExecContext(short, "DO SLEEP(3)")
			failed(err)
			ask(one, "SELECT 'another connection'")
			return nil
		}},
		{"load-data", func() error {
			text := "LOAD DATA LOCAL INFILE '%s' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'"
			mysql.RegisterLocalFile(env("SCRATCH") + "/rows.csv")
			exec(c, fmt.Sprintf(text, env("SCRATCH")+"/rows.csv"))
			ask(c, "SELECT * FROM loaded ORDER BY id, name")
			mysql.RegisterReaderHandler("lines", func() io.Reader { return strings.NewReader("7,seven,7.5\n8,eight,8\n") })
			exec(c, fmt.Sprintf(text, "Reader::lines"))
			exec(c, fmt.Sprintf(text, "/not/allowed"))
			exec(c, fmt.Sprintf(text, "Reader::none"))
			ask(c, "SELECT COUNT(*) FROM loaded")
			return nil
		}},
		{"session", func() error {
			for _, text := range []string{"CREATE TEMPORARY TABLE temp (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)", "INSERT INTO temp (v) VALUES ('a'), ('b')", "SELECT * FROM temp", "DROP TEMPORARY TABLE temp", "SET @a = 5, @b = 'text', @d = 1.25", "SELECT @a, @b, @d", "SET time_zone = '+05:30'", "SELECT @@time_zone, ts FROM types WHERE id = 1", "SET time_zone = DEFAULT", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT \"name\" FROM people WHERE id = 1", "SET SESSION sql_mode = DEFAULT", "SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n <= 1000 ORDER BY n LIMIT 2", "SELECT FOUND_ROWS() AS f", "SHOW TABLES", "USE " + env("SCHEMA") + "_2", "SELECT DATABASE()", "USE " + env("SCHEMA"), "EXPLAIN SELECT name FROM people WHERE id = 1"} {
				say("--", text)
				ask(c, text)
			}
			return nil
		}},
		{"settings", func() error {
			for _, more := range []string{"&charset=latin1", "&collation=utf8mb4_bin", "&loc=Local&parseTime=true&time_zone=%27%2B02%3A00%27", "&clientFoundRows=true", "&columnsWithAlias=true", "&sql_mode=%27ANSI%27", "&connectionAttributes=program_name:drivers-test", "&maxAllowedPacket=0", "&rejectReadOnly=true"} {
				one := open(more)
				say("--", more)
				ask(one, "SELECT @@character_set_client, @@collation_connection, @@time_zone, @@sql_mode")
				ask(one, "SELECT ts FROM types t WHERE id = 1")
				exec(one, "UPDATE people SET age = age WHERE id < 3")
				ask(one, "SELECT ATTR_VALUE FROM performance_schema.session_account_connect_attrs WHERE PROCESSLIST_ID = CONNECTION_ID() AND ATTR_NAME IN ('program_name', '_client_name') ORDER BY ATTR_NAME")
				one.Close()
			}
			return nil
		}},
		{"tls", func() error {
			for _, more := range []string{"&tls=skip-verify", "&tls=preferred", "&allowCleartextPasswords=true"} {
				one := open(more)
				ask(one, "SELECT name FROM people WHERE id <= 3 ORDER BY id")
				ask(one, "SELECT REPEAT('z', ?) AS z", 100000)
				one.Close()
			}
			return nil
		}},
		{"compressed", func() error {
			one := open("&compress=true")
			defer one.Close()
			ask(one, "SELECT name, ? AS y FROM people WHERE id <= 3 ORDER BY id", strings.Repeat("y", 100000))
			ask(one, "SELECT REPEAT('z', 2000000) AS z")
			return nil
		}},
		{"locks", func() error {
			other, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer other.Close()
			exec(other, "SET SESSION innodb_lock_wait_timeout = 1")
			tx, _ := c.BeginTx(ctx, nil)
			exec(tx, "UPDATE locks SET n = n + 1 WHERE id = 1")
			ask(other, "SELECT * FROM locks WHERE id = 1 FOR UPDATE NOWAIT")
			ask(other, "SELECT * FROM locks ORDER BY id FOR UPDATE SKIP LOCKED")
			exec(other, "UPDATE locks SET n = n + 1 WHERE id = 1")
			second, _ := other.BeginTx(ctx, nil)
			exec(second, "INSERT INTO work (k) SELECT n FROM numbers WHERE n <= 50")
			exec(second, "UPDATE locks SET n = 2 WHERE id = 2")
			var wait sync.WaitGroup
			wait.Add(1)
			var late error
			go func() {
				defer wait.Done()
				_, late = second.Exec("UPDATE locks SET n = 2 WHERE id = 1")
			}()
			time.Sleep(100 * time.Millisecond)
			exec(tx, "UPDATE locks SET n = 1 WHERE id = 2")
			tx.Rollback()
			wait.Wait()
			say("the other", late)
			return second.Rollback()
		}},
		{"kills", func() error {
			one := open("")
			defer one.Close()
			victim, err := one.Conn(ctx)
			if err != nil {
				return err
			}
			var id int64
			if err := victim.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
				return err
			}
			exec(c, fmt.Sprint("KILL QUERY ", id))
			ask(victim, "SELECT 'lives'")
			exec(c, fmt.Sprint("KILL ", id))
			if _, err := victim.ExecContext(ctx, "DO 1"); err == nil {
				say("! a killed connection answered")
			} else {
				say("error", fmt.Sprintf("%T", err))
			}
			victim.Close()
			ask(one, "SELECT 'another connection'")
			exec(c, "KILL 4000000000")
			return nil
		}},
		{"pool", func() error {
			var wait sync.WaitGroup
			errors := make(chan error, 200)
			for worker := range 8 {
				wait.Add(1)
				go func() {
					defer wait.Done()
					for n := range 20 {
						if _, err := interpolated.Exec("INSERT INTO work (k, v) VALUES (?, 'pool')", worker*20+n); err != nil {
							errors <- err
						}
						var back int
						if err := interpolated.QueryRow("SELECT COUNT(*) FROM work WHERE v = 'pool' AND k = ?", worker*20+n).Scan(&back); err != nil || back != 1 {
							errors <- fmt.Errorf("%d rows, %v", back, err)
						}
					}
				}()
			}
			wait.Wait()
			close(errors)
			for err := range errors {
				return err
			}
			ask(c, "SELECT COUNT(*), SUM(k) FROM work WHERE v = 'pool'")
			return nil
		}},
		{"many-statements", func() error {
			total := 0
			for n := range 300 {
				var got int
				if err := c.QueryRowContext(ctx, fmt.Sprintf("SELECT n + %d FROM numbers WHERE n = ?", n), n+3).Scan(&got); err != nil {
					return err
				}
				total += got
			}
			say("sum", total)
			return nil
		}},
		{"closes", func() error {
			c.Close()
			failed(c.PingContext(ctx))
			return db.Close()
		}},
	})
}
