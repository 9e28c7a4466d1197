package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgress_SaysHowItGoes(t *testing.T) {
	t.Parallel()
	p := &progress{name: "saturate"}
	s := &stream{hooks: []*hook{{}}}
	p.phase("setting up")
	p.follow(s)
	s.hooks[0].received.Store(100) // in the warm-up
	p.phase("measuring")
	s.accepted.Store(700)
	s.hooks[0].received.Store(600)
	require.Equal(t, "saturate: measuring, 2 s; 700 accepted, 600 received, 250/s", p.line(p.since.Add(2*time.Second)))
}

func TestProgress_ClearsItsLine(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	p := startProgress(&b, "saturate")
	p.stop()
	require.True(t, strings.HasSuffix(b.String(), "\r\x1b[K"))

	p = startProgress(nil, "saturate")
	require.Nil(t, p)
	p.phase("nobody looks")
	p.follow(nil)
	p.stop()
}
