// Package devserver runs a Temporal server and its Web UI inside this process, from Go modules alone: nothing is
// downloaded and no container is needed.
//
// It owns the server's configuration, its store (a SQLite file, memory, or Postgres) and the namespace in it. It must
// not import the packages that use Temporal (workflows, activities, worker): to them it is a Temporal server like any
// other, reached by its address. It lives in a module of its own, because the server brings some 350 modules with it
// that the production binary has no use for.
package devserver

import (
	"context"
	"fmt"
	"sync"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/temporal"
)

// Server is a running Temporal server, with its Web UI if one was asked for.
type Server struct {
	frontend string
	temporal temporal.Server
	logger   logger
	ui       *webUI // nil without UI
	stop     sync.Once
}

// Start runs a Temporal server until Stop. When it returns, workflows can be started: the frontend answers, the
// namespace exists with its retention and search attributes, and the Web UI is served. ctx bounds the starting only.
//
// Addresses that are taken, a store that cannot be opened, and a SQLite file of another schema are errors.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	addrs, err := reserve(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	logger := newLogger(o.Logger, o.LogLevel)
	store, err := openStore(ctx, o, logger)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	if err := ensureNamespace(ctx, store.main, o, logger); err != nil {
		return nil, fmt.Errorf("temporal: namespace %q: %w", o.Namespace, err)
	}
	settings, err := dynamicConfig(o.DynamicConfig)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(serverConfig(addrs, store, o.HistoryShards)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(addrs.hosts()),
		temporal.WithDynamicConfigClient(settings),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
	)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	s := &Server{frontend: dialable(addrs.frontend), temporal: server, logger: logger}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("temporal: start: %w", err)
	}
	if err := awaitFrontend(ctx, s.frontend); err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	if addrs.ui.IsValid() {
		if s.ui, err = startUI(ctx, addrs.ui, s.frontend, o.Namespace, o.UIHosts); err != nil {
			return nil, fmt.Errorf("temporal web ui: %w", err)
		}
	}
	return s, nil
}

// FrontendAddr returns the host:port at which clients and workers reach the server.
func (s *Server) FrontendAddr() string { return s.frontend }

// UIURL returns the base URL of the Web UI without a trailing slash, and "" if none was asked for.
func (s *Server) UIURL() string {
	if s.ui == nil {
		return ""
	}
	return s.ui.url
}

// Stop ends the Web UI and the server. Everything accepted is in the store by then. Further calls do nothing.
func (s *Server) Stop() {
	s.stop.Do(func() {
		if s.ui != nil {
			s.ui.stop()
		}
		// The parts of the server poll one another. Calls that are cut off when they stop are logged as errors, and are
		// none.
		s.logger.mute()
		_ = s.temporal.Stop() // always nil
	})
}
