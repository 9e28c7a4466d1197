package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/posthorn/posthorn/internal/config"
)

// ListenCommand is `posthorn listen`, a receiver for trying things out.
type ListenCommand struct {
	Addr   string   `default:"127.0.0.1:9000" help:"Address to listen on. Default ${default}." group:"Receive"`
	Secret []string `sep:"none" placeholder:"WHSEC" help:"Signing secret of a webhook (whsec_…); repeatable. Signatures are then verified, and a request that none of the secrets has signed is refused with 401." group:"Receive"`

	Fail       int           `placeholder:"N" help:"Fail the first N requests." group:"Answer"`
	Status     *int          `placeholder:"CODE" help:"Status of the answers, 200 to 599. With --fail, the status of the failing requests, by default 500." group:"Answer"`
	Delay      time.Duration `help:"Wait before answering." group:"Answer"`
	Body       string        `help:"Body of the answer." group:"Answer"`
	RetryAfter string        `name:"retry-after" placeholder:"SECONDS" help:"Retry-After header of failing answers: seconds, or an HTTP date." group:"Answer"`
	Forward    string        `placeholder:"URL" help:"Forward each request to this URL, with its headers and body, and return its answer." group:"Answer"`

	Register  config.Secret `placeholder:"KEY" help:"Register a webhook at a running Posthorn with this API key (role tenant, or an admin key), verify with its secret, and remove it at the end." group:"Register"`
	URL       string        `name:"url" env:"POSTHORN_URL" default:"http://127.0.0.1:8080" help:"The Posthorn to register at. Default ${default}." group:"Register"`
	Tenant    string        `env:"POSTHORN_TENANT" default:"demo" help:"The tenant to register for. Default ${default}, which dev creates." group:"Register"`
	PublicURL string        `name:"public-url" placeholder:"URL" help:"URL at which that Posthorn reaches this receiver. Required unless it is a dev on this machine." group:"Register"`
}

// Validate returns every mistake in the flags. Kong calls it after parsing them.
func (c *ListenCommand) Validate() error {
	var p []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			p = append(p, fmt.Errorf(format, args...))
		}
	}
	_, err := newVerifiers(c.Secret)
	refuse(err != nil, "%w", err)
	refuse(c.Fail < 0, "--fail: must not be negative")
	refuse(c.Status != nil && (*c.Status < 200 || *c.Status > 599), "--status: must be 200 to 599")
	refuse(c.Delay < 0, "--delay: must not be negative")
	refuse(c.Body != "" && c.Status != nil && !mayHaveBody(*c.Status), "--body: an answer with --status %d has none", orZero(c.Status))
	refuse(c.RetryAfter != "" && !isRetryAfter(c.RetryAfter), "--retry-after: must be whole seconds, or a date such as %q", http.TimeFormat)
	refuse(c.Forward != "" && !isHTTP(c.Forward), "--forward: must be an http or https URL")
	refuse(c.Forward != "" && c.Body != "", "--body: with --forward the answer comes from the other receiver")
	refuse(c.Forward != "" && c.Status != nil && c.Fail == 0, "--status: with --forward the answer comes from the other receiver; --fail N says how many requests are not forwarded")
	refuse(c.PublicURL != "" && c.Register == "", "--public-url: needs --register KEY")
	refuse(c.PublicURL != "" && !isHTTP(c.PublicURL), "--public-url: must be an http or https URL")
	refuse(c.Register != "" && !isHTTP(c.URL), "--url (POSTHORN_URL): must be an http or https URL")
	return errors.Join(p...)
}

func orZero(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

func mayHaveBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusResetContent && status != http.StatusNotModified
}

func isRetryAfter(text string) bool {
	if _, err := strconv.ParseUint(text, 10, 31); err == nil {
		return true
	}
	_, err := http.ParseTime(text)
	return err == nil
}

func isHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// Run receives until ctx ends.
func (c *ListenCommand) Run(ctx context.Context, env Environment) (err error) {
	if err := c.Validate(); err != nil {
		return err
	}
	r, err := newReceiver(c, env.Out)
	if err != nil {
		return err
	}
	listener, err := config.Listen(ctx, "--addr", c.Addr)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(env.Out, "listening on %s\n", addressOf(listener)); err != nil {
		return err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	defer func() { _ = server.Close() }()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if c.Register != "" {
		remove, registerErr := c.register(ctx, env, r, addressOf(listener))
		if registerErr != nil {
			return registerErr
		}
		defer func() { err = errors.Join(err, remove()) }() // while the server still answers
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// addressOf returns the URL at which a process on this machine reaches a listener.
func addressOf(listener net.Listener) string {
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
