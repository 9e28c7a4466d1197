// Command histories makes the histories for the replay tests of package workflows. It runs a whole Posthorn on an
// embedded Temporal, plays a number of stories in it, and writes down Temporal's histories of them.
//
//	histories ../workflows/testdata
//
// Run it after an intended change of workflows, before anybody runs them. Afterwards a change needs a version.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/posthorn/posthorn/devserver"
	"github.com/posthorn/posthorn/internal/app"
	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "histories:", err)
		os.Exit(1)
	}
}

// patience bounds everything.
const patience = 5 * time.Minute

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("name the directory to write to")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))

	if err := play(ctx, args[0], quiet, nil, (*stage).stories); err != nil {
		return err
	}
	return play(ctx, args[0], quiet, map[string]any{"limit.historyCount.suggestContinueAsNew": longHistory}, (*stage).longStories)
}

// longHistory is how many events make a history long in the second theatre. Temporal's own number would take too long.
const longHistory = 14

// play runs a Posthorn on its own Temporal, plays the stories in it, and writes down their histories.
func play(ctx context.Context, directory string, quiet *slog.Logger, settings map[string]any, stories func(*stage) map[string]story) error {
	data, err := os.MkdirTemp("", "histories")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(data) }()
	server, err := devserver.Start(ctx, devserver.Options{SearchAttributes: workflows.SearchAttributes(), DynamicConfig: settings, Logger: quiet})
	if err != nil {
		return err
	}
	defer server.Stop()
	temporal, err := client.DialContext(ctx, client.Options{HostPort: server.FrontendAddr(), Logger: log.NewStructuredLogger(quiet)})
	if err != nil {
		return err
	}
	defer temporal.Close()
	receivers, err := listen(ctx)
	if err != nil {
		return err
	}
	defer receivers.close()

	s := &stage{temporal: temporal, receivers: receivers.url}
	down, err := s.open(ctx, filepath.Join(data, "posthorn.db"), quiet)
	if err != nil {
		return err
	}
	err = s.tellAll(ctx, directory, stories(s))
	return errors.Join(err, down())
}

// threshold deactivates a webhook before its story becomes long.
const threshold = 20

// open starts a Posthorn for the stories. It returns the function that ends it.
func (s *stage) open(ctx context.Context, database string, logger *slog.Logger) (down func() error, err error) {
	keyset, err := secrets.NewKeyset()
	if err != nil {
		return nil, err
	}
	url := "sqlite:" + database
	store, err := models.Open(ctx, url, models.Options{})
	if err != nil {
		return nil, err
	}
	err = errors.Join(store.Migrate(ctx), store.Close())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	a, err := app.New(ctx, app.Options{
		Config: config.Config{
			DatabaseURL: config.Secret(url), EncryptionKeyset: config.Secret(keyset), Addr: "127.0.0.1:0", TaskQueue: queue,
			GroupMax: models.MaxDispatch, Timeout: 15 * time.Second, FailureThreshold: threshold,
			Retry:     config.Retry{Initial: 100 * time.Millisecond, Backoff: 2, MaxInterval: time.Minute, Max: 3},
			Reconcile: config.Reconcile{Every: 10 * time.Second, After: time.Minute},
			Retention: config.Duration(14 * 24 * time.Hour),
		},
		Temporal: s.temporal, Namespace: client.DefaultNamespace, API: true, Worker: true, Dev: true, Log: logger,
		Seed: func(ctx context.Context, svc *service.Service) error {
			s.hooks = svc
			_, err := svc.PutEventType(ctx, models.EventType{Name: eventType})
			return err
		},
		Ready: func(net.Addr) { close(ready) },
	})
	if err != nil {
		cancel()
		return nil, err
	}
	go func() { ended <- a.Run(ctx) }()
	down = func() error {
		cancel()
		err := <-ended
		a.Close()
		return err
	}
	select {
	case <-ready:
		return down, nil
	case err := <-ended:
		ended <- err
		return nil, errors.Join(err, down())
	}
}
