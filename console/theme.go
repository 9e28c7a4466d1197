package console

import (
	"fmt"
	"math"
	"strings"
)

// fonts are the families that a theme may name.
var fonts = map[string]string{"system": "system-ui, sans-serif", "serif": "Georgia, serif", "mono": "ui-monospace, monospace"}

// stylesheet returns a theme as CSS. Text on the accent is black or white, whichever has more contrast. Text in the
// accent is made darker on light pages and lighter on dark ones, until it is readable.
func stylesheet(theme map[string]string) string {
	var b strings.Builder
	b.WriteString(":root:root {\n")
	accent, coloured := parseColour(theme["accent"])
	if coloured {
		ink := "#fff"
		if contrast(accent, black) > contrast(accent, white) {
			ink = "#000"
		}
		fmt.Fprintf(&b, "  --accent: %s;\n  --on-accent: %s;\n  --link: %s;\n", accent, ink, accent.readable(lightGround, black))
	}
	if theme["radius"] != "" {
		fmt.Fprintf(&b, "  --radius: %spx;\n", theme["radius"])
	}
	if font := fonts[theme["font"]]; font != "" {
		fmt.Fprintf(&b, "  --font: %s;\n", font)
	}
	b.WriteString("}\n")
	if coloured {
		link := accent.readable(darkGround, white)
		fmt.Fprintf(&b, "@media (prefers-color-scheme: dark) {\n  :root:root:not([data-mode=\"light\"]) { --link: %s; }\n}\n", link)
		fmt.Fprintf(&b, ":root:root[data-mode=\"dark\"] { --link: %s; }\n", link)
	}
	return b.String()
}

// colour is red, green and blue, 0 to 255.
type colour [3]float64

var (
	black, white = colour{}, colour{255, 255, 255}
	// The grounds on which text has the least contrast: --raised of static/style.css, light and dark.
	lightGround, darkGround = colour{0xf6, 0xf7, 0xf9}, colour{0x19, 0x1d, 0x23}
)

// parseColour reads #rrggbb.
func parseColour(text string) (c colour, ok bool) {
	var red, green, blue uint8
	n, _ := fmt.Sscanf(text, "#%02x%02x%02x", &red, &green, &blue)
	return colour{float64(red), float64(green), float64(blue)}, n == len(c)
}

// String writes #rrggbb.
func (c colour) String() string {
	return fmt.Sprintf("#%02x%02x%02x", uint8(math.Round(c[0])), uint8(math.Round(c[1])), uint8(math.Round(c[2])))
}

// luminance returns WCAG's relative luminance, 0 to 1.
func (c colour) luminance() (sum float64) {
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		part := c[i] / 255
		if part <= 0.04045 {
			part /= 12.92
		} else {
			part = math.Pow((part+0.055)/1.055, 2.4)
		}
		sum += weight * part
	}
	return sum
}

// contrast returns WCAG's contrast ratio, 1 to 21.
func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// enough is the contrast that WCAG requires of text, and a little more to allow for rounding.
const enough = 4.6

// readable mixes in as much of another colour as text on a ground needs.
func (c colour) readable(ground, other colour) colour {
	const steps = 20
	for i := range steps + 1 {
		share := float64(i) / steps
		var mixed colour
		for part := range mixed {
			mixed[part] = c[part]*(1-share) + other[part]*share
		}
		if contrast(mixed, ground) >= enough {
			return mixed
		}
	}
	return other
}
