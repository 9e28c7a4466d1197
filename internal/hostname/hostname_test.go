package hostname_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/hostname"
)

func TestHostname_Check(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", hostname.MaxLabel)
	longest := strings.Repeat(label+".", 3) + strings.Repeat("b", 61)
	require.Len(t, longest, hostname.MaxName)
	for name, want := range map[string]error{
		"example.com": nil, "localhost": nil, "_dmarc.a-b.example": nil, label + ".test": nil, longest: nil,
		longest + "b": hostname.ErrLongName, label + "a.test": hostname.ErrLongLabel,
		"": hostname.ErrEmptyLabel, "a..b": hostname.ErrEmptyLabel, "a.": hostname.ErrEmptyLabel,
		"[192.0.2.1]": hostname.ErrNoName, "ex$ample.com": hostname.ErrNoName, "Example.com": hostname.ErrNoName, "bücher.example": hostname.ErrNoName,
	} {
		require.Equal(t, want, hostname.Check(name), name)
	}
}

func TestHostname_ASCII(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Example.com": "Example.com", "BÜCHER.example": "xn--bcher-kva.example", "ⓛocalhost": "localhost"} {
		got, err := hostname.ASCII(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.True(t, hostname.IsASCII(got))
	}
	_, err := hostname.ASCII("ü\u2028.example")
	require.Error(t, err)
}
