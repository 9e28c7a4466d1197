package console_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/posthorn/posthorn/console"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// site is an installation behind its pages.
type site struct {
	*servicetest.Env
	t       *testing.T
	handler http.Handler
	key     string // of the tenant acme, with role tenant
}

func newSite(t *testing.T, options ...servicetest.Option) *site {
	t.Helper()
	s := &site{Env: servicetest.New(t, options...), t: t}
	s.handler = console.New(console.Options{Service: s.Service, FrameAncestors: []string{"https://shop.example"}, Version: "1.2.3"})
	s.key = s.Tenant("acme")
	s.EventTypes("order.created", "order.paid")
	return s
}

// browser keeps cookies and runs no scripts.
type browser struct {
	*site
	cookies map[string]*http.Cookie
	header  http.Header
}

func (s *site) browser() *browser {
	return &browser{site: s, cookies: map[string]*http.Cookie{}, header: http.Header{}}
}

// signedIn returns a browser that has signed in with a key.
func (s *site) signedIn(key string) *browser {
	s.t.Helper()
	b := s.browser()
	b.post("/console/login", url.Values{"key": {key}}).is(http.StatusSeeOther)
	return b
}

// document is an answer.
type document struct {
	t      *testing.T
	b      *browser
	path   string
	status int
	header http.Header
	body   string
	root   *html.Node
}

func (b *browser) do(method, target string, form url.Values) *document {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(form.Encode()))
	maps.Copy(r.Header, b.header)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, cookie := range b.cookies {
		if strings.HasPrefix(r.URL.Path, cookie.Path) {
			r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
		}
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	for _, cookie := range w.Result().Cookies() {
		if b.cookies[cookie.Name] = cookie; cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		}
	}
	d := &document{t: b.t, b: b, path: r.URL.Path, status: w.Code, header: w.Header(), body: w.Body.String()}
	root, err := html.Parse(strings.NewReader(d.body))
	require.NoError(b.t, err)
	d.root = root
	return d
}

func (b *browser) get(target string) *document {
	b.t.Helper()
	return b.do(http.MethodGet, target, nil)
}

func (b *browser) post(target string, form url.Values) *document {
	b.t.Helper()
	return b.do(http.MethodPost, target, form)
}

func (d *document) is(status int) *document {
	d.t.Helper()
	require.Equal(d.t, status, d.status, "%s: %s", d.path, d.text(d.root))
	return d
}

// follow follows a redirect.
func (d *document) follow() *document {
	d.t.Helper()
	d.is(http.StatusSeeOther)
	return d.b.get(d.header.Get("Location")).is(http.StatusOK)
}

func attribute(n *html.Node, name string) string {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
	if i < 0 {
		return ""
	}
	return n.Attr[i].Val
}

// all returns the elements with a tag, below a node.
func all(root *html.Node, tags ...string) (found []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && slices.Contains(tags, n.Data) {
			found = append(found, n)
		}
	}
	return found
}

// text returns the visible text of a node.
func (d *document) text(n *html.Node) string {
	var b strings.Builder
	for n := range n.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// title returns the heading of the page.
func (d *document) title() string {
	d.t.Helper()
	headings := all(d.root, "h1")
	require.Len(d.t, headings, 1, "%s", d.path)
	return d.text(headings[0])
}

// link returns the address of the link with a name.
func (d *document) link(name string) string {
	d.t.Helper()
	for _, a := range all(d.root, "a") {
		if d.text(a) == name {
			return attribute(a, "href")
		}
	}
	require.Fail(d.t, "no such link", "%s on %s", name, d.path)
	return ""
}

// buttons returns the names of the page's buttons, without "Sign out".
func (d *document) buttons() (names []string) {
	for _, n := range all(d.root, "button") {
		if name := d.text(n); name != "Sign out" {
			names = append(names, name)
		}
	}
	return names
}

// field returns the control whose label begins with a name, in a form or alone.
func (d *document) field(root *html.Node, label string) *html.Node {
	for _, l := range all(root, "label") {
		if strings.HasPrefix(d.text(l), label) {
			if controls := all(l, "input", "textarea", "select"); len(controls) == 1 {
				return controls[0]
			}
		}
	}
	return nil
}

// press fills in the form of the button with a name, and sends it. fill is by label.
func (d *document) press(button string, fill map[string]string) *document {
	d.t.Helper()
	for _, form := range all(d.root, "form") {
		if !slices.ContainsFunc(all(form, "button"), func(n *html.Node) bool { return d.text(n) == button }) {
			continue
		}
		values := url.Values{}
		typed := map[*html.Node]string{}
		for label, value := range fill {
			control := d.field(form, label)
			require.NotNil(d.t, control, "no field %q on %s", label, d.path)
			typed[control] = value
		}
		for _, n := range all(form, "input", "textarea", "select") {
			value, filled := typed[n]
			switch {
			case attribute(n, "type") == "checkbox":
				checked := slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "checked" })
				if filled {
					checked = value != ""
				}
				if checked {
					values.Add(attribute(n, "name"), attribute(n, "value"))
				}
				continue
			case filled:
			case n.Data == "textarea":
				value = rawText(n)
			case n.Data == "select":
				value = d.selected(n)
			default:
				value = attribute(n, "value")
			}
			values.Add(attribute(n, "name"), value)
		}
		if attribute(form, "method") == "post" {
			return d.b.post(attribute(form, "action"), values)
		}
		action, _, _ := strings.Cut(attribute(form, "action"), "#")
		return d.b.get(action + "?" + values.Encode())
	}
	require.Fail(d.t, "no such button", "%s on %s", button, d.path)
	return nil
}

func rawText(n *html.Node) string {
	if n.FirstChild == nil {
		return ""
	}
	return n.FirstChild.Data
}

func (d *document) selected(n *html.Node) string {
	for i, option := range all(n, "option") {
		chosen := slices.ContainsFunc(option.Attr, func(a html.Attribute) bool { return a.Key == "selected" })
		if chosen || i == 0 && !strings.Contains(rendered(n), "selected") {
			if slices.ContainsFunc(option.Attr, func(a html.Attribute) bool { return a.Key == "value" }) {
				return attribute(option, "value")
			}
			return d.text(option)
		}
	}
	return ""
}

func rendered(n *html.Node) string {
	var b strings.Builder
	_ = html.Render(&b, n)
	return b.String()
}
