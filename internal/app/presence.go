package app

import (
	"context"
	"time"
)

// kind returns the kind of this process, for the others.
func (a *App) kind() string {
	switch {
	case a.Dev:
		return "dev"
	case a.API && a.Worker:
		return "serve"
	case a.API:
		return "api"
	default:
		return "worker"
	}
}

// leaveFor bounds the announcement that this process ends: without it the others wait until the process has been
// silent long enough.
const leaveFor = 2 * time.Second

// leave announces to the other processes that this one has ended.
func (a *App) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveFor)
	defer cancel()
	if err := a.store.Leave(ctx); err != nil {
		a.Log.Warn("could not announce that this process ends; the others notice in a few seconds", "error", err)
	}
}
