// Command posthorn is the lean build, which runs in production. The all-in-one build, with an embedded Temporal and the
// command `dev`, is devserver/cmd/posthorn.
package main

import "github.com/posthorn/posthorn/internal/cli"

// version is set by the linker.
var version = "dev"

func main() { cli.Run(version, nil) }
