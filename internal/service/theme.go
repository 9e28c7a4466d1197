package service

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// themeValues are the settings of a portal link's theme, and their forms. Nothing else ever gets into a stylesheet.
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

// logo is the setting of a theme that is not part of its stylesheet: the URL of a picture.
const logo = "logo"

// maxLogo bounds the URL of a logo, in bytes.
const maxLogo = 2048

// checkTheme checks a theme. Its logo must come from one of origins.
func checkTheme(p *problems, theme map[string]string, origins []string) {
	for _, name := range slices.Sorted(maps.Keys(theme)) {
		if name == logo {
			checkLogo(p, theme[logo], origins)
			continue
		}
		rule, known := themeValues[name]
		switch {
		case !known:
			p.addf("theme", "may set accent, radius, font, mode and logo")
		case !rule.ok(theme[name]):
			p.addf("theme."+name, "%s", rule.must)
		}
	}
}

// checkLogo refuses a logo that the pages' content security policy would not load.
func checkLogo(p *problems, text string, origins []string) {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxLogo || u.Scheme != "https" || u.User != nil || !slices.Contains(origins, "https://"+strings.TrimSuffix(strings.ToLower(u.Host), ":443")) {
		p.addf("theme.logo", "must be an https URL on one of the origins in POSTHORN_PORTAL_LOGO_ORIGINS")
	}
}
