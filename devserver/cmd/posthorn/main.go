// Command posthorn is the all-in-one build. It has every command of the lean build, and dev, which runs everything in
// one process with an embedded Temporal server and its Web UI.
package main

import "github.com/posthorn/posthorn/internal/cli"

// version is set by the linker.
var version = "dev"

func main() { cli.Run(version, &DevCommand{}) }
