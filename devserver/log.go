package devserver

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger passes the server's log lines to slog.
type logger struct {
	log   *slog.Logger
	muted *atomic.Bool
}

var (
	_ log.Logger      = logger{}
	_ log.WithLogger  = logger{}
	_ log.SLogWrapper = logger{}
)

func newLogger(to *slog.Logger, level slog.Leveler) logger {
	muted := new(atomic.Bool)
	return logger{slog.New(filter{to.Handler(), level, muted}).With("component", "temporal"), muted}
}

// mute drops everything from now on.
func (l logger) mute() { l.muted.Store(true) }

func (l logger) Debug(msg string, tags ...tag.Tag)  { l.write(slog.LevelDebug, msg, tags) }
func (l logger) Info(msg string, tags ...tag.Tag)   { l.write(slog.LevelInfo, msg, tags) }
func (l logger) Warn(msg string, tags ...tag.Tag)   { l.write(slog.LevelWarn, msg, tags) }
func (l logger) Error(msg string, tags ...tag.Tag)  { l.write(slog.LevelError, msg, tags) }
func (l logger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// Panic and Fatal end the process, as the server expects of them. Both leave a stack trace.
func (l logger) Panic(msg string, tags ...tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	panic("temporal: " + msg)
}

func (l logger) Fatal(msg string, tags ...tag.Tag) { l.Panic(msg, tags...) }

// With returns a logger that adds tags to everything.
func (l logger) With(tags ...tag.Tag) log.Logger {
	return logger{slog.New(l.log.Handler().WithAttrs(attributes(tags))), l.muted}
}

// SLog returns the logger for parts of the server that use slog themselves.
func (l logger) SLog() *slog.Logger { return l.log }

func (l logger) write(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) { // before anything is allocated for it
		l.log.LogAttrs(ctx, level, msg, attributes(tags)...)
	}
}

func attributes(tags []tag.Tag) []slog.Attr {
	attrs := make([]slog.Attr, len(tags))
	for i, t := range tags {
		attrs[i] = slog.Any(t.Key(), t.Value())
	}
	return attrs
}

// filter drops everything below a level. Once muted, it drops everything.
type filter struct {
	slog.Handler

	level slog.Leveler
	muted *atomic.Bool
}

func (f filter) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= f.level.Level() && !f.muted.Load() && f.Handler.Enabled(ctx, level)
}

func (f filter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return filter{f.Handler.WithAttrs(attrs), f.level, f.muted}
}

func (f filter) WithGroup(name string) slog.Handler {
	return filter{f.Handler.WithGroup(name), f.level, f.muted}
}
