package panics_test

import (
	"errors"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/panics"
)

// counted returns the number of panics.
func counted(t *testing.T) float64 {
	t.Helper()
	var m dto.Metric
	require.NoError(t, metrics.Panics.Write(&m))
	return m.GetCounter().GetValue()
}

func TestPanics_APanicIsAnError(t *testing.T) {
	t.Parallel()
	before := counted(t)
	fails := func() (err error) {
		defer panics.Into(&err, "the mill")
		panic("the cat sat on the keyboard")
	}
	err := fails()
	require.EqualError(t, err, "the mill panicked; the log says where")
	var caught error
	func() {
		defer panics.Catch("the mill", func(err error) { caught = err })
		panic(errors.New("again"))
	}()
	require.Equal(t, err, caught)
	went := false
	panics.Safely("the mill", func() { panic("and again") })
	panics.Safely("the mill", func() { went = true })
	require.True(t, went)
	require.InDelta(t, before+3, counted(t), 0)
	fine := func() (err error) {
		defer panics.Into(&err, "the mill")
		return nil
	}
	require.NoError(t, fine())
}
