// Command posthorn is the all-in-one build: Posthorn with an embedded Temporal server and its Web UI.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/posthorn/posthorn/devserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "posthorn:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	server, err := devserver.Start(ctx, devserver.Options{TemporalAddr: "127.0.0.1:7233", UIAddr: "127.0.0.1:8233"})
	if err != nil {
		return err
	}
	defer server.Stop()
	fmt.Println("Temporal at", server.FrontendAddr(), "and its Web UI at", server.UIURL())
	<-ctx.Done()
	return nil
}
