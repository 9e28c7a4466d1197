// Command posthorn is the all-in-one build: every command of the lean one, and dev, which runs everything in one
// process with an embedded Temporal server and its Web UI.
package main

import "github.com/posthorn/posthorn/internal/cli"

// version is set by the linker.
var version = "dev"

func main() { cli.Run(version, &DevCommand{}) }
