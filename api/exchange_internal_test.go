package api

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// Attempts from before this field existed say that their destination is unknown. If possible, they say whether the
// answer was longer.
func TestExchange_OldAttemptsDoNotKnowWhereTheyWent(t *testing.T) {
	t.Parallel()
	v := exchangeView(t.Context(), &models.Attempt{ResponseBody: []byte(strings.Repeat("x", keptBody)), ResponseHeaders: map[string]string{"A": "b"}})
	require.Nil(t, v.URL)
	require.Nil(t, v.RequestBody)
	require.Equal(t, []Try{}, v.Tries)
	require.True(t, v.ResponseBodyTruncated)
	require.Equal(t, map[string][]string{"A": {"b"}}, v.ResponseHeaderValues)
	v = exchangeView(t.Context(), &models.Attempt{ResponseBody: []byte("x")})
	require.False(t, v.ResponseBodyTruncated)
}

func TestExchange_TwoTriesAreTold(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_000).UTC()
	v := exchangeView(t.Context(), &models.Attempt{URL: "https://a.test/", Detail: models.AttemptDetail{
		Tries: []models.Try{{StartedAt: at, Error: "refused"}, {StartedAt: at.Add(time.Second)}}}})
	require.Equal(t, []Try{{StartedAt: timestamp(at), Error: new("refused")}, {StartedAt: timestamp(at.Add(time.Second))}}, v.Tries)
}

func TestExchange_TextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]string{0: "", 1: "a", 2: "a", 3: "a", 4: "a日", 5: "a日", 7: "a日本", 8: "a日本"} {
		require.Equal(t, want, string(cutText([]byte("a日本"), limit)), limit)
	}
}
