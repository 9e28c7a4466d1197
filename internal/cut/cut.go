// Package cut shortens foreign texts to a length that can be shown, and knows which of them can be stored. It must not import
// any package of Posthorn.
package cut

import (
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// ahead is how far beyond the cut the end of a character may be.
const ahead = 256

// Text returns a text if it has no more than most bytes, and otherwise a beginning of at most that size and "…". It cuts
// between user-perceived characters, in any script: a letter keeps its accents, and an emoji of several code points
// stays whole. Bytes that are not UTF-8 are left out.
func Text(text string, most int) string {
	if len(text) <= most {
		return strings.ToValidUTF8(text, "")
	}
	return strings.ToValidUTF8(text[:boundary(text[:min(len(text), most+ahead)], most)], "") + "…"
}

// boundary returns the last end of a character within the first most bytes; if the first character is longer, the end
// of a code point.
func boundary(text string, most int) int {
	end := 0
	for rest, state := text, -1; rest != ""; {
		var character string
		character, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if end+len(character) > most {
			break
		}
		end += len(character)
	}
	if end > 0 {
		return end
	}
	for end = most; end > 0 && !utf8.RuneStart(text[end]); end-- {
	}
	return end
}

// Storable reports whether every database can store and compare a text.
func Storable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }
