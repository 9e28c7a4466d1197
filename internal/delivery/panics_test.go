package delivery_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// clumsy panics when it POSTs to /bad.
type clumsy struct{}

func (clumsy) Post(_ context.Context, r sender.Request) sender.Result {
	if strings.HasSuffix(r.URL, "/bad") {
		panic("the cat sat on the keyboard")
	}
	return sender.Result{StartedAt: time.Now(), Outcome: sender.Received, StatusCode: http.StatusNoContent}
}

// An attempt that panics is delayed by a minute, and affects no other delivery.
func TestPanics_AnAttemptThatPanicsCostsItself(t *testing.T) {
	t.Parallel()
	b := setup(t, servicetest.WithPoster(clumsy{}))
	b.hook("/bad")
	b.hook("/good")
	d := b.publish()
	batch := b.first(d.ID)
	require.Equal(t, 1, batch.Delivered)
	require.Len(t, batch.Waiting, 1)
	require.Equal(t, delivery.BackOff, batch.Waiting[0].Kind)
	statuses := map[models.DeliveryStatus]int{}
	for _, key := range d.Deliveries {
		row := b.read(key.ID)
		statuses[row.Status]++
		if row.Status == models.Pending {
			require.Contains(t, row.StatusReason, "Posthorn")
			require.Zero(t, row.Attempts, "nothing is charged to the receiver")
		}
	}
	require.Equal(t, map[models.DeliveryStatus]int{models.Pending: 1, models.Delivered: 1}, statuses)
}
