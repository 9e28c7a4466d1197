package delivery

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// fed is a feed of events with so many bytes each, and how many each query read.
func fed(sizes ...int) (f *feed, keys []models.DeliveryKey, queries *[]int) {
	queries = new([]int)
	events := map[models.DeliveryKey]*models.Event{}
	f = newFeed(readMost, func(keys []models.DeliveryKey) (map[models.DeliveryKey]*models.Event, error) {
		*queries = append(*queries, len(keys))
		return events, nil
	})
	for i, size := range sizes {
		key := models.DeliveryKey{ID: fmt.Sprint(i)}
		events[key] = &models.Event{Data: make([]byte, size)}
		f.add(key)
	}
	return f, f.keys, queries
}

func TestFeed_HowManyEventsAQueryReadsFollowsTheirSize(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		size    int
		queries []int
	}{
		"small":          {100, []int{32, 168}},
		"of 8 KiB":       {8 << 10, []int{32, 128, 40}},
		"of 128 KiB":     {128 << 10, []int{32, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8}},
		"without a byte": {0, []int{32, 168}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sizes := make([]int, 200)
			for i := range sizes {
				sizes[i] = test.size
			}
			f, keys, queries := fed(sizes...)
			for _, key := range keys {
				e, err := f.take(key)
				require.NoError(t, err)
				require.NotNil(t, e)
			}
			require.Equal(t, test.queries, *queries)
			require.Empty(t, f.got, "events that all have taken are kept")
		})
	}
}

func TestFeed_AnEventIsReadOnceForAllThatTakeIt(t *testing.T) {
	t.Parallel()
	f, keys, queries := fed(1, 1, 1)
	f.add(keys[1])
	f.n = 2
	for _, key := range []models.DeliveryKey{keys[1], keys[0], keys[1], keys[2]} { // the second is read with the first
		e, err := f.take(key)
		require.NoError(t, err)
		require.NotNil(t, e)
	}
	require.Equal(t, []int{2, 1}, *queries)
	require.Empty(t, f.got)
}

func TestFeed_AQueryThatFailedIsMadeAgain(t *testing.T) {
	t.Parallel()
	f, keys, _ := fed(1)
	read, broken := f.read, errors.New("broken")
	f.read = func([]models.DeliveryKey) (map[models.DeliveryKey]*models.Event, error) { return nil, broken }
	_, err := f.take(keys[0])
	require.ErrorIs(t, err, broken)
	f.read = read
	e, err := f.take(keys[0])
	require.NoError(t, err)
	require.NotNil(t, e)
}
