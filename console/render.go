package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

//go:embed templates
var templateFiles embed.FS

var functions = template.FuncMap{"slug": models.TenantSlug, "text": text, "brief": brief, "short": short, "number": number, "plural": plural, "outcome": outcome, "rate": rate,
	"dict": dict}

// dict returns named arguments for a template that takes several.
func dict(pairs ...any) map[string]any {
	all := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		all[name] = pairs[i+1]
	}
	return all
}

// outcome returns the result of a failed attempt. Its error usually contains the status.
func outcome(status int, problem string) string {
	code := strconv.Itoa(status)
	if status == 0 || strings.Contains(problem, code) {
		return problem
	}
	return strings.TrimSuffix("status "+code+": "+problem, ": ")
}

// rate writes a number per second.
func rate(perSecond float64) string { return strconv.FormatFloat(perSecond, 'g', 3, 64) + " a second" }

// templates are the pages by name, each with the layout. They are parsed when the program starts, so that a broken one fails every
// test.
var templates = func() map[string]*template.Template {
	all := map[string]*template.Template{}
	files, err := templateFiles.ReadDir("templates")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".html")
		if !ok || name == "layout" {
			continue
		}
		all[name] = template.Must(template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/"+f.Name()))
	}
	return all
}()

// view is the data of a template.
type view struct {
	Title  string
	Body   any
	Visit  *visit // nil = nobody is signed in
	Notice string
	SignIn string // where to sign in, if the visitor has to
	now    time.Time
}

// page writes a page as the answer.
func (c *Console) page(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	v.now = c.Service.Store.Now()
	if v.Visit != nil {
		v.Notice = notices[r.URL.Query().Get("done")]
		if v.Visit.frozen {
			v.now = time.Unix(0, 0)
		}
	}
	var b bytes.Buffer
	if err := templates[name].Execute(&b, v); err != nil {
		c.Log.ErrorContext(r.Context(), "a page cannot be made", "page", name, "error", err)
		http.Error(w, "The page could not be made. Try it again in a moment.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, plain(b.String()))
}

// Staff reports whether the page is the console's.
func (v view) Staff() bool { return v.Visit != nil && v.Visit.at == console }

// Base returns the beginning of the addresses of the tenant's pages.
func (v view) Base() string { return v.Visit.base }

// Home returns the address behind the brand.
func (v view) Home() string { return v.Visit.at.base }

// Tenant returns the tenant of the page; "" = none.
func (v view) Tenant() string {
	if v.Visit == nil {
		return ""
	}
	return models.TenantSlug(v.Visit.tenant)
}

// Who returns the name of the person who is signed in, "" in a look that several share.
func (v view) Who() string {
	if v.Visit.frozen {
		return ""
	}
	return v.Visit.session.Name
}

// SignOut returns the address behind the button "Sign out".
func (v view) SignOut() string { return v.Visit.at.base + "/sign-out" }

// Here reports whether a link of the navigation leads to this page, or to the list that this page belongs to.
func (v view) Here(path string) bool {
	at := v.Visit.r.URL.Path
	return at == path || path != v.Visit.base && path != v.Visit.at.base && strings.HasPrefix(at, path+"/") && (v.Visit.tenant == "" || path != "/console/tenants")
}

// Among reports whether a link of the navigation is the parent of the tenant's links.
func (v view) Among(path string) bool { return v.Visit.tenant != "" && path == "/console/tenants" }

// In returns the beginning of the addresses of the pages about the tenant with an id.
func (v view) In(tenant string) string { return v.Visit.in(tenant) }

func (v *visit) in(tenant string) string {
	if v.at == console {
		return "/console/tenants/" + url.PathEscape(models.TenantSlug(tenant))
	}
	return v.base
}

// Live reports whether the page takes over changes.
func (v view) Live() bool { return v.Visit != nil && v.Visit.live }

// Now returns the time of the page, in milliseconds since 1970, because browsers' clocks may be wrong.
func (v view) Now() int64 { return v.now.UnixMilli() }

// MayWrite reports whether the visitor may change webhooks and deliveries.
func (v view) MayWrite() bool { return v.Visit.may(owners) }

// MaySeeKeys reports whether the visitor may see the tenant's keys.
func (v view) MaySeeKeys() bool { return v.Visit.may(keyReader) }

// MayRevokeKeys reports whether the visitor may revoke the tenant's keys.
func (v view) MayRevokeKeys() bool { return v.Visit.may(keyOwner) }

// MayMakeKeys reports whether the visitor may make keys and portal links.
func (v view) MayMakeKeys() bool { return v.Visit.may(noLinks) }

// MaySeeAudit reports whether the visitor may see the tenant's audit log.
func (v view) MaySeeAudit() bool { return v.Visit.may(auditors) }

// MaySettings reports whether the visitor may change the administrators.
func (v view) MaySettings() bool { return v.Visit.may(settings) }

// Mode returns the colours that a portal link asks for: light or dark; "" = the viewer's.
func (v view) Mode() string {
	if v.Visit == nil || v.Visit.frozen || v.Visit.session.Theme["mode"] == "auto" {
		return ""
	}
	return v.Visit.session.Theme["mode"]
}

// Theme returns the address of the portal link's stylesheet; "" = it has none.
func (v view) Theme() string {
	if v.Visit == nil || v.Visit.frozen || len(v.Visit.session.Theme) == 0 {
		return ""
	}
	return "/portal/theme.css"
}

// Logo returns the picture that a portal link shows instead of our name; "" = none.
func (v view) Logo() string {
	if v.Visit == nil || v.Visit.frozen {
		return ""
	}
	return v.Visit.session.Theme["logo"]
}

// Branded reports whether the page shows a customer's logo in place of our name.
func (v view) Branded() bool { return v.Logo() != "" }

// Time writes a time as how long ago or how far ahead it is, with the exact time beside it.
func (v view) Time(at any) template.HTML {
	var t time.Time
	switch at := at.(type) {
	case time.Time:
		t = at
	case *time.Time:
		if at == nil {
			return "–"
		}
		t = *at
	}
	exact := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, exact, exact, relative(t.Sub(v.now)))) //nolint:gosec // times and our own words
}

// relative writes how far away a time is.
func relative(d time.Duration) string {
	form := "%s ago"
	if d > 0 {
		form = "in %s"
	}
	d = d.Abs()
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf(form, plural(int(d/time.Second), "second"))
	case d < time.Hour:
		return fmt.Sprintf(form, plural(int(d/time.Minute), "minute"))
	case d < 48*time.Hour:
		return fmt.Sprintf(form, plural(int(d/time.Hour), "hour"))
	default:
		return fmt.Sprintf(form, plural(int(d/(24*time.Hour)), "day"))
	}
}

func plural(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "retry":
		return strconv.Itoa(n) + " retries"
	}
	return number(int64(n)) + " " + what + "s"
}

// maxText is the largest part of a body on a page, in bytes.
const maxText = 64 << 10

// text returns a body as a page shows it. A truncated body may end within a character.
func text(body []byte) string {
	whole, more := body, ""
	if len(body) > maxText {
		whole, more = body[:maxText], "\n… (truncated)"
	}
	for i := len(whole) - 1; i >= max(0, len(whole)-utf8.UTFMax); i-- {
		if utf8.RuneStart(whole[i]) {
			if !utf8.FullRune(whole[i:]) {
				whole = whole[:i]
			}
			break
		}
	}
	if !utf8.Valid(whole) || bytes.IndexByte(whole, 0) >= 0 {
		return fmt.Sprintf("(%s bytes that are not text)", number(int64(len(body))))
	}
	return string(whole) + more
}

// turns writes out the characters that turn the direction of the text after them. With them a name could show another text than it
// has, and change how what follows it reads.
var turns = strings.NewReplacer(pairsOf("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")...)

func pairsOf(characters string) (pairs []string) {
	for _, c := range characters {
		pairs = append(pairs, string(c), fmt.Sprintf("\\u%04x", c))
	}
	return pairs
}

// markup matches what is not shown text: tags, in which ">" is escaped, and textareas, which forms send back unchanged.
var markup = regexp.MustCompile(`(?s)<textarea.*?</textarea>|<[^>]*>`)

// plain returns a page whose text turns no direction.
func plain(page string) string {
	if turns.Replace(page) == page {
		return page
	}
	var b strings.Builder
	at := 0
	for _, tag := range markup.FindAllStringIndex(page, -1) {
		b.WriteString(turns.Replace(page[at:tag[0]]))
		b.WriteString(page[tag[0]:tag[1]])
		at = tag[1]
	}
	b.WriteString(turns.Replace(page[at:]))
	return b.String()
}

// brief writes a duration without zero units.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// number writes a number in groups of three digits.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// short returns the end of a long id. Ids often begin alike and differ at the end.
func short(id string) string {
	prefix, rest, ok := strings.Cut(id, "_")
	if !ok || len(rest) <= 12 {
		return id
	}
	return prefix + "_…" + rest[len(rest)-12:]
}

// URL returns a webhook's URL as the visitor may see it. Read-only visitors see no query, because it may hold a token.
func (v view) URL(raw string) string { return v.Visit.url(raw) }

func (v *visit) url(raw string) string {
	if v.may(owners) {
		return raw
	}
	return service.URLWithoutQuery(raw)
}

// more returns the address of the next page of a list, with the same filters; "" on the last page.
func (v *visit) more(next string) string {
	if next == "" {
		return ""
	}
	query := v.r.URL.Query()
	query.Del("done")
	query.Set("after", next)
	return v.r.URL.Path + "?" + query.Encode()
}

// after returns the page of a list that the address asks for.
func (v *visit) after() models.Page {
	return models.Page{Limit: 50, After: v.r.URL.Query().Get("after")}
}

// query returns a parameter of the address.
func (v *visit) query(name string) string { return strings.TrimSpace(v.r.URL.Query().Get(name)) }

// form returns a field of the form.
func (v *visit) form(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }

// readForm parses the form. It returns Invalid for a body that is no form or too long.
func (v *visit) readForm() error {
	if err := v.r.ParseForm(); err != nil {
		return service.Refuse(service.Invalid, "the form could not be read")
	}
	return nil
}

func escape(id string) string { return url.PathEscape(id) }
