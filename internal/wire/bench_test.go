package wire_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/posthorn/posthorn/internal/wire"
)

// BenchmarkBuild builds one attempt at one delivery, with the 1 KiB payload of the published benchmarks.
func BenchmarkBuild(b *testing.B) {
	data := `{"id":"f9cc7e9c-7ac2-45df-b4a3-1a19321c144d","items":[{"sku":"12345","quantity":2}],"note":"` +
		strings.Repeat("n", 900) + `"}`
	for _, profile := range wire.Profiles() {
		b.Run(profile, func(b *testing.B) {
			wh := wire.Webhook{Profile: profile, Secrets: []string{secretB}, Headers: map[string]string{"X-Team": "orders"}}
			ev := event("order.created", data)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := wire.Build(wh, ev, attempted); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMask measures the cost of masking an answer that is long enough to hold a secret.
func BenchmarkMask(b *testing.B) {
	wh := wire.Webhook{Profile: wire.ProfileStandard, URL: "https://shop.example/hooks", Secrets: []string{secretB}}
	message, err := wire.Build(wh, event("order.created", `{}`), attempted)
	if err != nil {
		b.Fatal(err)
	}
	answer := http.Header{"Date": {"Sat, 28 Nov 2026 20:22:22 GMT"}, "Content-Length": {"2"}, "Content-Type": {"text/plain; charset=utf-8"}}
	body := []byte(`{"received":true,"request_id":"f9cc7e9c-7ac2-45df-b4a3-1a19321c144d"}`)
	b.ReportAllocs()
	for b.Loop() {
		secret := wire.SecretsOf(wh, message.Header)
		secret.Mask(body, false)
		secret.MaskHeader(answer)
	}
}
