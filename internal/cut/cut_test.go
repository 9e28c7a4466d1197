package cut_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/cut"
)

func TestCut_Text(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		most       int
		want       string
	}{
		{"short enough", "order", 5, "order"},
		{"too long", "orders", 5, "order…"},
		{"umlaut", "größe", 3, "gr…"},
		{"combining accent", "cafe\u0301s", 5, "caf…"},
		{"combining accent, whole", "cafe\u0301s", 6, "cafe\u0301…"},
		{"Chinese", "订单已创建", 8, "订单…"},
		{"Hangul, decomposed", "\u1112\u1161\u11ab\u1100\u1173\u11af", 11, "\u1112\u1161\u11ab…"},
		{"Devanagari", "नमस्ते", 10, "नम…"},
		{"emoji with a skin tone", "ok👍🏽!", 8, "ok…"},
		{"family", "x👨‍👩‍👧‍👦y", 20, "x…"},
		{"flags", "🇩🇪🇫🇷", 12, "🇩🇪…"},
		{"not UTF-8", "a\xffbcdef", 4, "abc…"},
		{"not UTF-8, short", "a\xffb", 4, "ab"},
		{"one endless character", "e" + strings.Repeat("\u0301", 1000), 10, "e" + strings.Repeat("\u0301", 4) + "…"},
		{"nothing fits", "👨‍👩‍👧‍👦", 2, "…"},
	} {
		require.Equal(t, tt.want, cut.Text(tt.text, tt.most), tt.name)
	}
}

// A cut text is no longer than the limit, and is a beginning of the text that ends with a whole character.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"order.created", "größe", "cafe\u0301", "订单已创建", "👨‍👩‍👧‍👦🇩🇪👍🏽", "\xff\xfe", "नमस्ते", ""} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, s string, most uint8) {
		short := cut.Text(s, int(most))
		require.True(t, utf8.ValidString(short))
		whole := strings.ToValidUTF8(s, "")
		if len(s) <= int(most) {
			require.Equal(t, whole, short)
			return
		}
		beginning, ok := strings.CutSuffix(short, "…")
		require.True(t, ok)
		require.LessOrEqual(t, len(beginning), int(most))
		require.True(t, strings.HasPrefix(whole, beginning))
		first, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
		if !utf8.ValidString(s) || len(first) > int(most) {
			return
		}
		require.Equal(t, uniseg.GraphemeClusterCount(whole), uniseg.GraphemeClusterCount(beginning)+uniseg.GraphemeClusterCount(whole[len(beginning):]))
	})
}

func TestCut_Storable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a", "\u00e9\U0001f600", "\ufffd", "\x01"} {
		require.True(t, cut.Storable(text), "%q", text)
	}
	for _, text := range []string{"\x00", "a\x00b", "\xff", "a\xc3"} {
		require.False(t, cut.Storable(text), "%q", text)
	}
}
