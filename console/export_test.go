package console

// Page is a page as tests see it.
type Page struct {
	Method, Path string
	Write        bool // needs more than the role read
	Staff        bool
}

// Pages are all pages: Path is below /console for the staff's, and below the base of the tenant for the others.
func Pages() (all []Page) {
	for _, p := range staffPages {
		all = append(all, Page{p.method, p.path, true, true})
	}
	for _, p := range tenantPages {
		all = append(all, Page{p.method, p.path, p.need != readers && p.need != keyReader && p.need != auditors, false})
	}
	return all
}

// Stylesheet is a theme as CSS.
func Stylesheet(theme map[string]string) string { return stylesheet(theme) }

// Text is a body as a page shows it.
func Text(body []byte) string { return text(body) }
