package bench

import (
	"context"
	"time"
)

// running is the stage of a Posthorn that is already running. A backlog is published there to a paused webhook, and
// released when it is resumed.
type running struct{ o Options }

var _ Stage = running{}

func (r running) Begin(context.Context, ...string) error { return nil }
func (r running) Work(context.Context) error             { return nil }
func (r running) End(context.Context)                    {}
func (r running) URL() string                            { return r.o.URL }
func (r running) Processes() []Process                   { return r.o.Processes }
func (r running) Metrics() []string                      { return r.o.MetricsURLs }

func (r running) Store(context.Context, string, int, int, time.Duration) error { return ErrInUse }
func (r running) Widen(context.Context, string, int, string, string) error     { return ErrInUse }
func (r running) Left(context.Context, string, ...Standing) (bool, error)      { return false, ErrInUse }
func (r running) Count(context.Context, string, string) (int, error)           { return 0, ErrInUse }
func (r running) Transactions(context.Context) (ours, engines int64, err error) {
	return 0, 0, ErrInUse
}
