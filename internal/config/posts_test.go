package config

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPosts_FromDescriptors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		descriptors uint64
		posts, idle int
	}{
		{"none", 0, 16, 1},
		{"fewer than are kept", 64, 16, 1},
		{"macOS", 256, 32, 16},
		{"just at the least", 128 + 16*4 + 3, 16, 8},
		{"just above the least", 128 + 17*4, 17, 8},
		{"an old Linux", 1024, 224, 112},
		{"4096", 4096, 992, 496},
		{"just below the most", 128 + 4096*4 - 1, 4095, 2047},
		{"just at the most", 128 + 4096*4, 4096, 2048},
		{"a container", 1 << 20, 4096, 8192},
		{"unlimited", math.MaxUint64, 4096, 8192},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.posts, defaultPosts(tt.descriptors))
			require.Equal(t, tt.idle, idleLimit(tt.descriptors))
			require.False(t, tooMany(tt.posts, tt.descriptors), "a default is not too many")
			if tt.descriptors >= 256 {
				connecting, idle := 2*tt.posts, 2*tt.idle
				require.LessOrEqual(t, uint64(connecting+idle), tt.descriptors-keptDescriptors)
			}
		})
	}
	require.False(t, tooMany(448, 1024))
	require.True(t, tooMany(449, 1024))
}

func TestPosts_PostLimit(t *testing.T) {
	t.Parallel()
	require.Equal(t, 7, Config{MaxPosts: 7}.PostLimit())
	require.Equal(t, defaultPosts(descriptors()), Config{}.PostLimit())
	require.Equal(t, idleLimit(descriptors()), Config{}.IdleLimit())
	require.False(t, Config{MaxPosts: 1}.TooManyPosts())
}
