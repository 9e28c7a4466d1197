package devserver

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

func TestLog_GoesToSlog(t *testing.T) {
	t.Parallel()

	var out bytes.Buffer
	l := newLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})), slog.LevelWarn)
	lines := func() []string {
		defer out.Reset()
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}

	l.Debug("below the threshold")
	l.Info("below the threshold")
	l.Warn("slow", tag.WorkflowID("wf"))
	l.Error("broken", tag.Error(errors.New("no disk")))
	l.DPanic("worse")
	require.Equal(t, []string{
		`level=WARN msg=slow component=temporal wf-id=wf`,
		`level=ERROR msg=broken component=temporal error="no disk"`,
		`level=ERROR msg=worse component=temporal`,
	}, lines())

	log.With(l, tag.WorkflowID("wf")).Warn("tagged")
	log.NewSlogLogger(l).With("a", 1).WithGroup("g").Warn("through slog", "b", 2)
	log.NewSlogLogger(l).Info("below the threshold")
	require.Equal(t, []string{
		`level=WARN msg=tagged component=temporal wf-id=wf`,
		`level=WARN msg="through slog" component=temporal a=1 g.b=2`,
	}, lines())

	require.PanicsWithValue(t, "temporal: no port", func() { l.Fatal("no port") })
	require.Equal(t, []string{`level=ERROR msg="no port" component=temporal`}, lines())

	l.mute()
	l.Error("nobody cares")
	log.With(l, tag.WorkflowID("wf")).Error("nobody cares")
	require.Empty(t, out.String())
}
