package main

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// The admin port with database/sql, as the other languages' scripts of that name do.
func adminPort() {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/?interpolateParams=true&maxAllowedPacket=0", env("USER"), env("PASSWORD"), env("HOST"), env("PORT")))
	must(err)
	db.SetMaxOpenConns(1)
	must(db.Ping())
	fmt.Println("status", table(db, "SHOW WEIR STATUS LIKE 'cores'")[0][0])
	fmt.Print("session")
	for _, row := range table(db, "SHOW WEIR SESSIONS LIKE ?", "ap_") {
		if row[0] == env("VICTIM") {
			fmt.Print(" ", row[1])
		}
	}
	fmt.Println()
	fmt.Println("digests", len(table(db, "SHOW WEIR DIGESTS LIMIT 1")))
	fmt.Println("route", table(db, "EXPLAIN ROUTE SELECT 1 FROM t")[0][0])
	_, err = db.Exec("SET GLOBAL read_write_splitting_ratio = ?", 41)
	must(err)
	fmt.Println("ratio", table(db, "SELECT @@read_write_splitting_ratio")[0][0])
	_, err = db.Exec("KILL " + env("VICTIM"))
	must(err)
	fmt.Println("killed")
	_, err = db.Query("SELECT * FROM mysql.user")
	fmt.Println("error", number(err))
	prepared, err := db.Prepare("SHOW WEIR STATUS LIKE 'cores'")
	must(err)
	found, err := prepared.Query()
	must(err)
	first := cells(found)[0][0]
	must(prepared.Close())
	_, err = db.Prepare("SHOW WEIR STATUS LIKE ?")
	fmt.Println("prepared", first, number(err))
	tx, err := db.Begin()
	must(err)
	must(tx.Rollback())
	fmt.Println("end", table(db, "SELECT 1")[0][0])
	must(db.Close())
}

func table(db *sql.DB, text string, args ...any) [][]string {
	rows, err := db.Query(text, args...)
	must(err)
	return cells(rows)
}

func cells(rows *sql.Rows) [][]string {
	defer rows.Close()
	names, err := rows.Columns()
	must(err)
	var all [][]string
	for rows.Next() {
		cells := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for at := range cells {
			into[at] = &cells[at]
		}
		must(rows.Scan(into...))
		row := make([]string, len(names))
		for at := range cells {
			row[at] = cells[at].String
		}
		all = append(all, row)
	}
	must(rows.Err())
	return all
}

func number(err error) any {
	var said *mysql.MySQLError
	if errors.As(err, &said) {
		return said.Number
	}
	return err
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
