package main

import (
	"fmt"
	"os"
	"runtime/debug"
)

func dsn(more string) string { return dsnOf(env("PASSWORD"), env("SCHEMA"), more) }

func dsnOf(password, schema, more string) string {
	return fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?multiStatements=true&timeout=20s&readTimeout=30s%s", env("USER"), password, env("HOST"), env("PORT"), schema, more)
}

func env(name string) string { return os.Getenv("WEIR_" + name) }

// The version that a module was built with.
func version(module string) string {
	built, _ := debug.ReadBuildInfo()
	for _, one := range built.Deps {
		if one.Path == module {
			return one.Version[1:]
		}
	}
	return "unknown"
}

func main() {
	switch os.Args[1] {
	case "gorm":
		withGorm()
	case "admin":
		adminPort()
	default:
		withSQL()
	}
}
