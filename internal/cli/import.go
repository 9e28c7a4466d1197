package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/posthorn/posthorn/client"
	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/pause"
)

// ImportCommand is `posthorn import`.
type ImportCommand struct {
	Svix ImportSvixCommand `cmd:"" help:"Import the event types, applications and endpoints of a Svix server into a running Posthorn."`
}

// ImportSvixCommand is `posthorn import svix`.
type ImportSvixCommand struct {
	Remote
	From     string        `required:"" placeholder:"URL" help:"The Svix server, such as https://api.eu.svix.com. Required." group:"Svix"`
	Disabled bool          `help:"Create new endpoints as disabled." group:"Svix"`
	Token    config.Secret `env:"SVIX_AUTH_TOKEN" placeholder:"TOKEN" help:"The organisation's token. Required." group:"Svix"`
}

// Help has the examples.
func (*ImportSvixCommand) Help() string {
	return `It reads from Svix and changes nothing there. --key must be an admin key of Posthorn's. Run again, it brings up to date
what has changed at Svix since. Nothing that Svix does not have is deleted.

Example:
  posthorn import svix --from https://api.eu.svix.com --token testsk_0123456789 --url https://hooks.example.com --key admin-key`
}

// importReport lists what an import has done.
type importReport struct {
	Data []*imported `json:"data"`
}

// imported is the result for one thing.
type imported struct {
	Kind   string `json:"kind"` // event type, application or endpoint
	From   string `json:"from"` // its id there
	To     string `json:"to"`   // its id here; "" if it is not here
	Result string `json:"result"`
	// Notes name the parts that could not be kept, and the reason for a refusal.
	Notes []string `json:"notes"`
}

// The results.
const (
	importCreated   = "created"
	importUpdated   = "updated"
	importUnchanged = "unchanged"
	importRefused   = "refused"
)

func (i *imported) notef(format string, args ...any) {
	i.Notes = append(i.Notes, fmt.Sprintf(format, args...))
}

// Run imports. If it fails, it still prints what it has done.
func (c *ImportSvixCommand) Run(ctx context.Context, env Environment) error {
	switch {
	case c.Token == "":
		return errors.New("--token (SVIX_AUTH_TOKEN) must be set: the token of the Svix organisation")
	case !isHTTP(c.From):
		return errors.New("--from: must be an http or https URL")
	}
	doer := patient{&http.Client{Timeout: client.Timeout}, pause.For}
	api, err := c.api(client.WithHTTPClient(doer))
	if err != nil {
		return err
	}
	m := &svixImport{from: &svixServer{strings.TrimRight(c.From, "/"), c.Token.Reveal(), doer}, to: api, url: strings.TrimRight(c.URL, "/"), key: c.Key.Reveal(), disabled: c.Disabled, report: importReport{Data: []*imported{}}}
	failed := m.run(ctx)
	if failed != nil {
		failed = c.explain(failed)
	}
	answer, err := json.Marshal(m.report)
	if err != nil {
		return err
	}
	refused := 0
	err = show(&c.Remote, env, answer, func(p *printer, r importReport) {
		p.header("what", "at svix", "here", "result", "not kept")
		for _, i := range r.Data {
			p.row(i.Kind, i.From, i.To, i.Result, strings.Join(i.Notes, "; "))
		}
	})
	for _, i := range m.report.Data {
		if i.Result == importRefused {
			refused++
		}
	}
	if failed == nil && refused > 0 {
		failed = fmt.Errorf("%d of %d could not be imported", refused, len(m.report.Data))
	}
	return errors.Join(failed, err)
}
