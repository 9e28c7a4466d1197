package service

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// BenchmarkMatch measures the cost of finding the one matching webhook of an event, in tenants with more and more
// webhooks.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v := &view{exact: map[string][]*entry{}}
			for i := range n {
				eventType := fmt.Sprintf("order.kind-%d", i)
				v.exact[eventType] = append(v.exact[eventType], &entry{webhook: models.Webhook{EventTypes: []string{eventType}}})
			}
			b.ReportAllocs()
			for b.Loop() {
				require.Len(b, v.match("order.kind-0", nil), 1)
			}
		})
	}
}
