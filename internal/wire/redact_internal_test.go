package wire

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A finder recognises every encoding of a value by the encoded beginnings of its first bytes.
func TestRedact_EncodingsBeginAsThoseOfTheFirstBytes(t *testing.T) {
	for range 10_000 {
		value := make([]byte, minSecret+rand.IntN(40))
		for i := range value {
			value[i] = " +/-_=?ab\xff\x00"[rand.IntN(11)]
		}
		f := newFinder([]string{string(value)})
		for _, pattern := range encodings(string(value)) {
			require.Equal(t, []span{{0, len(pattern)}}, f.spans([]byte(pattern))[:1], "%q as %q", value, pattern)
		}
	}
}
