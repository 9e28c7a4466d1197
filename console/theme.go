package console

import (
	"fmt"
	"strings"
)

// fonts are the families that a theme may name.
var fonts = map[string]string{"system": "system-ui, sans-serif", "serif": "Georgia, serif", "mono": "ui-monospace, monospace"}

// stylesheet is a theme as CSS. Text on the accent is black or white, whichever has more contrast.
func stylesheet(theme map[string]string) string {
	var b strings.Builder
	b.WriteString(":root:root {\n")
	var red, green, blue int
	if n, _ := fmt.Sscanf(theme["accent"], "#%02x%02x%02x", &red, &green, &blue); n == 3 {
		ink := "#fff"
		if red*299+green*587+blue*114 > 140_000 {
			ink = "#000"
		}
		fmt.Fprintf(&b, "  --accent: #%02x%02x%02x;\n  --on-accent: %s;\n", red, green, blue, ink)
	}
	if theme["radius"] != "" {
		fmt.Fprintf(&b, "  --radius: %spx;\n", theme["radius"])
	}
	if font := fonts[theme["font"]]; font != "" {
		fmt.Fprintf(&b, "  --font: %s;\n", font)
	}
	b.WriteString("}\n")
	return b.String()
}
