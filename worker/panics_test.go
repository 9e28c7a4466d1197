package worker

import (
	"context"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	sdk "go.temporal.io/sdk/worker"

	"github.com/posthorn/posthorn/internal/metrics"
)

func panicsCounted(t *testing.T) float64 {
	t.Helper()
	var m dto.Metric
	require.NoError(t, metrics.Panics.Write(&m))
	return m.GetCounter().GetValue()
}

// An activity that panics fails, and is retried like any other. Its data are not in its history.
func TestPanics_AnActivityThatPanicsFailsWithoutItsWords(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(sdk.Options{Interceptors: interceptors})
	grind := func(context.Context) error { panic("a payload") }
	env.RegisterActivity(grind)
	before := panicsCounted(t)
	for _, execute := range []func() error{
		func() error { _, err := env.ExecuteActivity(grind); return err },
		func() error { _, err := env.ExecuteLocalActivity(grind); return err },
	} {
		err := execute()
		require.ErrorContains(t, err, "an activity panicked; the log says where")
		require.NotContains(t, err.Error(), "a payload")
	}
	require.InDelta(t, before+2, panicsCounted(t), 0)
}
