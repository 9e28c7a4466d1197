// Command temporal runs the embedded Temporal server as a separate process, usually on Postgres, for benchmarks and
// end-to-end tests that need it apart from Posthorn:
//
//	temporal -postgres postgres://user:password@127.0.0.1:5432/temporal -addr 127.0.0.1:7233
//
// It prints one line when it is ready, `ready <frontend address> <Web UI URL or ->`, and runs until it is interrupted.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/posthorn/posthorn/devserver"
	"github.com/posthorn/posthorn/internal/cores"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "temporal:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	options, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	server, err := devserver.Start(ctx, options)
	if err != nil {
		return err
	}
	defer server.Stop()
	go cores.Follow(ctx)
	if _, err := fmt.Fprintln(stdout, "ready", server.FrontendAddr(), cmp.Or(server.UIURL(), "-")); err != nil {
		return fmt.Errorf("say that we are ready: %w", err)
	}
	<-ctx.Done()
	return nil
}

func parse(args []string, stderr io.Writer) (devserver.Options, error) {
	o := devserver.Options{
		SearchAttributes: map[string]enumspb.IndexedValueType{},
		DynamicConfig:    map[string]any{},
	}
	var level slog.Level
	flags := flag.NewFlagSet("temporal", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.TemporalAddr, "addr", "127.0.0.1:7233", "`host:port` of the frontend; port 0 takes a free one")
	flags.StringVar(&o.UIAddr, "ui-addr", "", "`host:port` of the Web UI (default none)")
	flags.StringVar(&o.DatabaseFile, "db", "", "keep data in this SQLite `file` (default in memory)")
	flags.StringVar(&o.PostgresURL, "postgres", "", "keep data on Postgres at this `URL`, and in a database with _visibility after its name")
	flags.IntVar(&o.HistoryShards, "shards", 0, "`number` of history shards of a new store (default 4)")
	flags.StringVar(&o.Namespace, "namespace", "default", "`name` of the namespace, created if missing")
	flags.DurationVar(&o.Retention, "retention", 14*24*time.Hour, "how long closed workflows are kept")
	flags.TextVar(&level, "log-level", slog.LevelError, "`level` of the server's own logs: debug, info, warn, error")
	flags.Func("search-attribute", "register a search attribute, `Name=Type` (Keyword, KeywordList, Int …); repeat for more", func(s string) error {
		name, kind, _ := strings.Cut(s, "=")
		t, err := enumspb.IndexedValueTypeFromString(kind)
		if err != nil || name == "" {
			return errors.New("want Name=Type")
		}
		o.SearchAttributes[name] = t
		return nil
	})
	flags.Func("dynamic-config", "override a setting of the server, `name=value`; repeat for more", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want name=value")
		}
		o.DynamicConfig[name] = scalar(value)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return devserver.Options{}, err
	}
	if flags.NArg() > 0 {
		return devserver.Options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.LogLevel = level
	o.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return o, nil
}

// scalar reads a setting's value as a number, as a truth value, or else as a string.
func scalar(s string) any {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	if b, err := strconv.ParseBool(s); err == nil {
		return b
	}
	return s
}
