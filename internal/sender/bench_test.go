package sender

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// BenchmarkPost measures one exchange with a receiver in this process: client and server together.
func BenchmarkPost(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	client := New(Config{AllowLoopbackHTTP: true})
	defer client.Close()
	request := Request{
		URL:    server.URL,
		Body:   bytes.Repeat([]byte("x"), 1<<10),
		Header: http.Header{"Content-Type": {"application/json"}, "Webhook-Id": {"msg_1"}, "Webhook-Signature": {"v1,abc"}},
	}
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if result := client.Post(b.Context(), request); result.Outcome != Received {
				b.Errorf("%+v", result)
			}
		}
	})
}

func BenchmarkCheckAddr(b *testing.B) {
	guard := NewGuard(Config{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	target := netip.MustParseAddrPort("[2606:4700:4700::1111]:443")
	for b.Loop() {
		if err := guard.CheckAddr(target); err != nil {
			b.Fatal(err)
		}
	}
}
