package service

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestAccept_ACommitOfSeveralCallsIsBoundedByRowsAndTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var commits [][]*models.Acceptance
		accept := newAccept(func(_ context.Context, group []*models.Acceptance) ([]models.Accepted, error) {
			if len(group) == 1 && group[0].Tenant == "first" {
				<-release
			} else {
				commits = append(commits, group)
			}
			return make([]models.Accepted, len(group)), nil
		})
		call := func(tenant string, events, deliveries int) {
			go func() {
				_, err := accept.Do(t.Context(), &models.Acceptance{Tenant: tenant, Events: make([]models.Event, events), Deliveries: make([]models.Delivery, deliveries)})
				assert.NoError(t, err)
			}()
			synctest.Wait()
		}
		call("first", 1, 0)
		call("first", acceptFrom, 0) // heavy enough for the second flush: both are under way
		for range 50 {
			call("huge", 100, 800)
		}
		call("huge", 1000, 100_000)
		call("small", 1, 1)
		release <- struct{}{} // one flush
		synctest.Wait()
		require.Len(t, commits, 14)
		for _, group := range commits {
			n := 0
			for _, a := range group {
				n += a.Rows()
			}
			require.True(t, n <= acceptRows || len(group) == 1, "%d rows of %d calls", n, len(group))
		}
		require.Equal(t, "small", commits[0][1].Tenant, "it does not wait for fifty of another tenant's")
		release <- struct{}{}
		synctest.Wait()
	})
}
