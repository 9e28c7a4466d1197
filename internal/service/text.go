package service

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/posthorn/posthorn/internal/cut"
)

// shownName is how many bytes of an unknown name an error repeats.
const shownName = 200

// checkLength refuses a text that is too long, or is not UTF-8 that every database can store.
func checkLength(p *problems, field, text string, most int) {
	switch {
	case utf8.RuneCountInString(text) > most:
		p.addf(field, "must be at most %d characters", most)
	case !cut.Storable(text):
		p.addf(field, "must be UTF-8 text without NUL characters")
	}
}

// joined lists names for an error.
func joined[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return strings.Join(texts, ", ")
}

func index(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
