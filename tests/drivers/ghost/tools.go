//go:build tools

// Package ghost pins gh-ost's version: nothing of it is built here but the program itself.
package ghost

import _ "github.com/github/gh-ost/go/cmd/gh-ost"
