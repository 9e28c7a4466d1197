package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/workflows"
)

// An activity that is green in the Web UI says in its result whether anything was received (C4).
func TestSummary_OfABatchSaysFirstWhetherItWasReceived(t *testing.T) {
	t.Parallel()
	refused := []delivery.Leftover{{Last: "503 Service Unavailable"}, {}}
	for want, b := range map[string]delivery.Batch{
		"Received":               {Delivered: 1},
		"All 8 received":         {Delivered: 8},
		"Nothing was left to do": {},
		"Not received, 1 failed for good; the first reason: 410 Gone":                                       {Failed: 1, Ended: []delivery.Ended{{Reason: "410 Gone"}}},
		"None of 2 received, 2 failed and to be retried; the first reason: 503 Service Unavailable":         {Refused: 2, Waiting: refused},
		"1 of 6 received, 1 held, 1 canceled, 1 superseded, 1 put off, 1 waiting for their turn":            {Delivered: 1, Held: 1, Canceled: 1, Superseded: 1, Waiting: refused[1:], OverCap: refused[1:]},
		"1 of 3 received, 1 failed and to be retried, 1 put off; the first reason: 503 Service Unavailable": {Delivered: 1, Refused: 1, Waiting: refused},
	} {
		require.Equal(t, want, summary(&b))
	}
}

// Older builds, which count held, canceled and superseded as one, read the sum.
func TestSummary_ARoundIsReadByEarlierBuilds(t *testing.T) {
	t.Parallel()
	r := roundOf(&delivery.Batch{Held: 1, Canceled: 2, Superseded: 3, Ended: []delivery.Ended{{Status: delivery.Held, Tenant: "acme~abcdefgh"}}})
	require.Equal(t, 6, r.Stopped)
	require.Equal(t, []workflows.Ended{{Status: "held", Tenant: "acme"}}, r.NotDelivered)
	left := toWire(&delivery.Leftover{Tenant: "acme~abcdefgh"})
	require.Equal(t, "acme", left.Slug)
	require.Empty(t, toWire(&delivery.Leftover{Tenant: "acme"}).Slug)
}
