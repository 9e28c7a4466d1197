package main

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/sdk/client"

	"github.com/posthorn/posthorn/devserver"
	"github.com/posthorn/posthorn/internal/app"
	"github.com/posthorn/posthorn/internal/cli"
	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/cores"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// DevCommand is `posthorn dev`. Its configuration is that of `serve`, but it makes the required values itself.
type DevCommand struct {
	config.Config `embed:""`
	UIAddr        string `name:"ui-addr" default:"127.0.0.1:8233" help:"Address of the Temporal Web UI. Default ${default}."`
	TemporalAddr  string `name:"temporal-addr" default:"127.0.0.1:7233" help:"Address of the embedded Temporal server. Default ${default}."`
	Data          string `name:"data" default:"./data" help:"Directory for all data. It survives restarts. Default ${default}."`
	Demo          bool   `name:"demo" help:"Also start receivers that succeed, fail, are slow and recover, and send them a trickle of events. Webhooks are deactivated sooner: after 60 failed receptions, unless POSTHORN_FAILURE_THRESHOLD sets another number."`
}

// Run runs everything until ctx ends.
func (c *DevCommand) Run(ctx context.Context, env cli.Environment) error {
	release, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer release()
	if err := c.prepare(); err != nil {
		return err
	}
	if c.Demo && c.FailureThreshold == config.DefaultThreshold {
		c.FailureThreshold = demoThreshold
	}
	if err := c.Validate(); err != nil {
		return err
	}
	log := cli.Logger(c.Config)
	slog.SetDefault(log)
	stdlog.SetOutput(sender.Quiet(stdlog.Writer()))
	if err := c.migrate(ctx); err != nil {
		return err
	}
	server, err := devserver.Start(ctx, devserver.Options{TemporalAddr: c.TemporalAddr, UIAddr: c.UIAddr, UIHosts: []string{c.PublicURL, c.TemporalUIURL},
		DatabaseFile: filepath.Join(c.Data, "temporal.db"), Retention: c.Retention.Std(),
		SearchAttributes: workflows.SearchAttributes(), Logger: log})
	if err != nil {
		return namingFlag(err)
	}
	defer server.Stop()
	stopTracing, err := cli.StartTracing(ctx, c.Config, env.Version)
	if err != nil {
		return err
	}
	defer stopTracing()
	o := client.Options{HostPort: server.FrontendAddr(), Namespace: client.DefaultNamespace}
	if err := cli.PrepareTemporal(&o, c.Config, log); err != nil {
		return err
	}
	temporal, err := client.Dial(o)
	if err != nil {
		return fmt.Errorf("embedded Temporal: %w", err)
	}
	defer temporal.Close()
	if c.TemporalUIURL == "" {
		c.TemporalUIURL = server.UIURL()
	}
	signIn, seed, show := "", seed, func() {}
	if c.Demo {
		d := &demo{log: log}
		made := seed
		seed = func(ctx context.Context, s *service.Service) error {
			if err := made(ctx, s); err != nil {
				return err
			}
			return d.start(ctx, s)
		}
		show = func() { go d.publish(ctx) }
	}
	a, err := app.New(ctx, app.Options{Config: c.Config, Version: env.Version, Temporal: temporal, Namespace: client.DefaultNamespace, TemporalAddress: server.FrontendAddr(),
		API: true, Worker: true, Dev: true, Log: log, Seed: seed,
		SignIn: func(path string) { signIn = path },
		Ready: func(addr net.Addr) {
			c.welcome(env, addr, server, signIn)
			show()
		}})
	if err != nil {
		return err
	}
	defer a.Close()
	go cores.Follow(ctx)
	return a.Run(ctx)
}

// namingFlag names the flag of an address that the embedded server cannot listen on.
func namingFlag(err error) error {
	taken, ok := errors.AsType[*devserver.AddressError](err)
	if !ok {
		return err
	}
	switch taken.Option {
	case "TemporalAddr":
		return config.ListenError("--temporal-addr", err)
	case "UIAddr":
		return config.ListenError("--ui-addr", err)
	}
	return err
}

// prepare makes the secrets in the data directory that `serve` gets from outside.
func (c *DevCommand) prepare() error {
	if c.DatabaseURL == "" {
		c.DatabaseURL = config.Secret("sqlite:" + filepath.Join(c.Data, "posthorn.db"))
	}
	if c.EncryptionKeyset == "" {
		keyset, err := c.kept("keyset", secrets.NewKeyset)
		if err != nil {
			return err
		}
		c.EncryptionKeyset = config.Secret(keyset)
	}
	if c.AdminKey == "" {
		key, err := c.kept("admin-key", func() (string, error) { return secrets.NewAPIKey(), nil })
		if err != nil {
			return err
		}
		c.AdminKey = config.Secret(key)
	}
	return nil
}

// kept reads a secret from the data directory. It makes the secret the first time.
func (c *DevCommand) kept(name string, create func() (string, error)) (string, error) {
	path := filepath.Join(c.Data, name)
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	value, err := create()
	if err != nil {
		return "", err
	}
	return value, os.WriteFile(path, []byte(value+"\n"), 0o600)
}

func (c *DevCommand) migrate(ctx context.Context) error {
	store, err := models.Open(ctx, c.DatabaseURL.Reveal(), models.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	return store.Migrate(ctx)
}
