package models_test

import (
	"fmt"
	"testing"

	"github.com/posthorn/posthorn/models"
)

var benchmarked = map[string]func(testing.TB) *database{"sqlite": sqlite, "postgres": postgres}

// BenchmarkAccept stores groups of requests with one event for two webhooks each. pgtest's own cluster does not wait
// for the disk; name another in POSTHORN_TEST_DATABASE_URL to measure one that does.
func BenchmarkAccept(b *testing.B) {
	for name, open := range benchmarked {
		for _, size := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				s := open(b)
				tenant := s.Tenant(b, "acme")
				webhooks := []models.Webhook{s.Webhook(b, tenant), s.Webhook(b, tenant)}
				version := s.Version(b, tenant)
				events := 0
				for b.Loop() {
					group := make([]*models.Acceptance, size)
					for i := range group {
						group[i] = &models.Acceptance{Tenant: tenant, Version: version}
						s.Add(group[i], idAt(models.PrefixEvent, s.Now()), webhooks...)
					}
					s.mustAccept(b, group...)
					events += size
				}
				b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkRecord stores groups of first attempts to 16 webhooks; one in ten is a failure.
func BenchmarkRecord(b *testing.B) {
	for name, open := range benchmarked {
		for _, size := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				s := open(b)
				tenant := s.Tenant(b, "acme")
				var webhooks []models.Webhook
				for range 16 {
					webhooks = append(webhooks, s.Webhook(b, tenant))
				}
				version := s.Version(b, tenant)
				attempts := 0
				for b.Loop() {
					b.StopTimer()
					a := &models.Acceptance{Tenant: tenant, Version: version}
					for i := range size {
						s.Add(a, idAt(models.PrefixEvent, s.Now()), webhooks[(attempts+i)%len(webhooks)])
					}
					s.mustAccept(b, a)
					group := make([]*models.Record, size)
					for i, d := range a.Deliveries {
						status := models.Delivered
						if attempts++; attempts%10 == 0 {
							status = models.Pending
						}
						group[i] = s.Attempted(d, status)
					}
					b.StartTimer()
					s.MustRecord(b, group...)
				}
				b.ReportMetric(float64(attempts)/b.Elapsed().Seconds(), "attempts/s")
			})
		}
	}
}
