package notify

import (
	"cmp"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"

	"github.com/posthorn/posthorn/internal/cut"
)

//go:embed templates
var templateFiles embed.FS

// The functions the templates may call.
var functions = map[string]any{
	"line":   oneLine,
	"target": target,
	"time":   func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") },
}

var (
	texts = texttemplate.Must(texttemplate.New("").Funcs(functions).ParseFS(templateFiles, "templates/*.txt"))
	pages = htmltemplate.Must(htmltemplate.New("").Funcs(functions).ParseFS(templateFiles, "templates/*.html"))
)

// WebhookMail is the data of a notification about a webhook. Strings may come from tenants and receivers: they are put
// on one line, cut, and escaped.
type WebhookMail struct {
	// Tenant and WebhookID are ids; TenantName and WebhookName may be empty.
	Tenant, TenantName     string
	WebhookID, WebhookName string
	// URL is the receiver's URL; its query is not shown, because it may hold a secret.
	URL string
	// Reason completes "it was deactivated because …". Only WebhookDeactivated uses it.
	Reason string
	// Failed is the number of failed receptions so far, and Threshold how many deactivate the webhook.
	Failed, Threshold int
	// LastFailureAt is zero if there was none. LastStatus is 0 if no status arrived.
	LastFailureAt time.Time
	LastStatus    int
	LastError     string
	// Link leads to the webhook's page. May be empty.
	Link string
	To   []string
	// NotificationID is the notification's id, and becomes the Message-ID.
	NotificationID string
}

// Title returns the webhook's name, or else the host it sends to, or else its id.
func (w WebhookMail) Title() string {
	host := ""
	if u, err := url.Parse(w.URL); err == nil {
		host = u.Host
	}
	return oneLine(cmp.Or(strings.TrimSpace(w.WebhookName), host, w.WebhookID))
}

// TenantTitle returns the tenant's name, or else its id.
func (w WebhookMail) TenantTitle() string {
	return oneLine(cmp.Or(strings.TrimSpace(w.TenantName), w.Tenant))
}

// WebhookWarning returns the mail for a webhook that fails and has not been deactivated yet.
func WebhookWarning(data WebhookMail) Mail {
	subject := fmt.Sprintf("Webhook %q is failing: %d of %d failures until it is deactivated", data.Title(), data.Failed, data.Threshold)
	return render("webhook_warning", subject, data)
}

// WebhookDeactivated returns the mail for a webhook that has been deactivated.
func WebhookDeactivated(data WebhookMail) Mail {
	return render("webhook_deactivated", fmt.Sprintf("Webhook %q was deactivated", data.Title()), data)
}

func render(name, subject string, data WebhookMail) Mail {
	var text, page strings.Builder
	// The templates are part of the program and a Builder does not fail; only a broken template could, and the tests
	// execute every one.
	if err := texts.ExecuteTemplate(&text, name+".txt", data); err != nil {
		panic(err)
	}
	if err := pages.ExecuteTemplate(&page, name+".html", data); err != nil {
		panic(err)
	}
	return Mail{To: data.To, Subject: subject, Text: strings.TrimSpace(text.String()) + "\n", HTML: page.String(), MessageID: data.NotificationID}
}

// target returns a URL without its query.
func target(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return oneLine(shown.String())
}

const maxLine = 300 // bytes

// oneLine replaces characters that could start another line or header by blanks, and cuts overlong text.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	return cut.Text(strings.ToValidUTF8(s, "�"), maxLine)
}
