package lately_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/lately"
)

func TestLately_KnowsAnotherTenant(t *testing.T) {
	t.Parallel()
	var tenants lately.Tenants
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	require.False(t, tenants.Other("crowd", now), "nobody has had any")
	tenants.Note("crowd", now)
	require.False(t, tenants.Other("crowd", now))
	require.True(t, tenants.Other("neighbour", now))
	tenants.Note("neighbour", now)
	for range 1000 {
		tenants.Note("crowd", now)
	}
	require.True(t, tenants.Other("crowd", now.Add(lately.For-time.Millisecond)), "a crowd does not make it forget")
	require.False(t, tenants.Other("crowd", now.Add(lately.For)))
}
