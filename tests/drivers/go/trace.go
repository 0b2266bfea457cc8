// Package main: database/sql's usual driver and GORM, as applications use them. This file: what is printed, a step's name, then lines
// in which a value stands with its type, so that equal lines are equal values.
package main

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

type step struct {
	name string
	run  func() error
}

func say(words ...any) { fmt.Println(words...) }

func cut(text string) string {
	if len(text) <= 100 {
		return fmt.Sprintf("%q", text)
	}
	sum := sha1.Sum([]byte(text))
	return fmt.Sprintf("%d %s", len(text), hex.EncodeToString(sum[:]))
}

func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return "bytes:" + cut(string(v))
	case string:
		return "string:" + cut(v)
	case time.Time:
		return "time:" + v.Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%T:%v", v, v)
}

func failed(err error) {
	var known *mysql.MySQLError
	if errors.As(err, &known) {
		say("error", known.Number, string(known.SQLState[:]), known.Message)
		return
	}
	words := strings.ReplaceAll(err.Error(), os.Getenv("WEIR_PORT"), "PORT")
	say("error", fmt.Sprintf("%T", err), strings.ReplaceAll(words, os.Getenv("WEIR_SCRATCH"), "SCRATCH"))
}

// A step that fails in a way that it did not foresee says so, and the next goes on.
func trace(version string, steps []step) {
	say("# version", version)
	for _, one := range steps {
		say("==", one.name)
		if err := one.run(); err != nil {
			say("!", strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
	say("== end")
}
