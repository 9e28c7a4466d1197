// Package panics turns a panic into an error that is counted and logged, so that one fault ends neither the process
// nor the work that others wait for.
//
// It must not import any package of Posthorn except metrics.
package panics

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/posthorn/posthorn/internal/metrics"
)

// Error says that something panicked. Its text does not repeat the value, which may contain data; the log does.
type Error struct{ Where string }

// Error implements error.
func (e *Error) Error() string { return e.Where + " panicked; the log says where" }

// Note counts and logs the recovered value of a panic. The recovering function must call it, so that the stack is that
// of the panic.
func Note(log *slog.Logger, where string, value any, attrs ...any) {
	metrics.Panics.Inc()
	log.Error("panic", append([]any{"in", where, "panic", fmt.Sprint(value), "stack", string(debug.Stack())}, attrs...)...)
}

// Into is deferred: a panic of the deferring function becomes its error.
func Into(err *error, where string) {
	if v := recover(); v != nil {
		Note(slog.Default(), where, v)
		*err = &Error{where}
	}
}

// Catch is deferred by functions that return nothing. then, if given, gets the error.
func Catch(where string, then ...func(error)) {
	if v := recover(); v != nil {
		Note(slog.Default(), where, v)
		for _, do := range then {
			do(&Error{where})
		}
	}
}

// Safely calls do. A panic ends the call, and nothing else.
func Safely(where string, do func()) {
	defer Catch(where)
	do()
}
