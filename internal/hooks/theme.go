package hooks

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// themeValues are what a portal link's theme may set, and how. Nothing else ever stands in a stylesheet.
var themeValues = map[string]struct {
	ok   func(string) bool
	must string
}{
	"accent": {regexp.MustCompile(`^#[0-9a-fA-F]{6}$`).MatchString, "must be a colour such as #0a58ca"},
	"radius": {func(text string) bool {
		n, err := strconv.Atoi(text)
		return err == nil && n >= 0 && n <= 24 && text == strconv.Itoa(n)
	}, "must be a number of pixels from 0 to 24"},
	"font": {oneOf("system", "serif", "mono"), "must be system, serif or mono"},
	"mode": {oneOf("auto", "light", "dark"), "must be auto, light or dark"},
}

func oneOf(values ...string) func(string) bool {
	return func(text string) bool { return slices.Contains(values, text) }
}

func checkTheme(p *problems, theme map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(theme)) {
		rule, known := themeValues[name]
		switch {
		case !known:
			p.addf("theme", "may set accent, radius, font and mode")
		case !rule.ok(theme[name]):
			p.addf("theme."+name, "%s", rule.must)
		}
	}
}
