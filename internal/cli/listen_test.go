package cli

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/gin-gonic/gin"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/api/svix"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

const (
	secretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretB = "whsec_plJ3nmyCDGBKInavdOK15jsl/1nrHY1A"
)

// listening is a posthorn listen that a test runs.
type listening struct {
	t     *testing.T
	URL   string
	lines chan string // that it prints
	stop  context.CancelFunc
	end   chan error
}

// parsed is `posthorn listen` with flags, as the command line makes it.
func parsed(t *testing.T, args ...string) (*ListenCommand, error) {
	t.Helper()
	var c commands
	parser, err := kong.New(&c, kong.Vars{"version": "test"}, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) { t.Error("exit") }))
	require.NoError(t, err)
	_, err = parser.Parse(append([]string{"listen", "--addr=127.0.0.1:0"}, args...))
	return &c.Listen, err
}

func listen(t *testing.T, args ...string) *listening {
	t.Helper()
	c, err := parsed(t, args...)
	require.NoError(t, err)
	return startListen(t, c)
}

func startListen(t *testing.T, c *ListenCommand) *listening {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	read, write := io.Pipe()
	l := &listening{t: t, lines: make(chan string, 1000), stop: stop, end: make(chan error, 1)}
	go func() {
		err := c.Run(ctx, Environment{Out: write})
		_ = write.Close()
		l.end <- err
	}()
	go func() {
		defer close(l.lines)
		for scanner := bufio.NewScanner(read); scanner.Scan(); {
			l.lines <- scanner.Text()
		}
	}()
	l.URL = strings.TrimPrefix(l.line("listening on "), "listening on ")
	return l
}

// line reads up to a line that contains a text. It is "" if there is none before the end.
func (l *listening) line(with string) string {
	l.t.Helper()
	for line := range l.lines {
		if strings.Contains(line, with) {
			return line
		}
	}
	return ""
}

// got is an answer of the receiver.
type got struct {
	status     int
	body       string
	retryAfter string
}

// post makes a delivery that is signed with a secret; "" = not.
func (l *listening) post(secret string) got {
	l.t.Helper()
	const body = `{"type":"order.created"}`
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, l.URL+"/path?q=1", strings.NewReader(body))
	require.NoError(l.t, err)
	request.Header.Set("Content-Type", "application/json")
	if secret != "" {
		now := time.Now()
		signer, err := webhooks.NewWebhook(secret)
		require.NoError(l.t, err)
		signature, err := signer.Sign("evt_1", now, []byte(body))
		require.NoError(l.t, err)
		request.Header.Set("Webhook-Id", "evt_1")
		request.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
		request.Header.Set("Webhook-Signature", signature)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(l.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(l.t, err)
	return got{response.StatusCode, string(text), response.Header.Get("Retry-After")}
}

// Every request gets the next number, even one with a wrong signature. Its answer says why.
func TestListen_NumbersEveryRequest(t *testing.T) {
	t.Parallel()
	l := listen(t, "--secret", secretA, "--secret="+secretB)
	for n, tt := range []struct {
		secret, verdict string
		status          int
	}{
		{secretA, "signature valid", 204},
		{"whsec_" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "no matching signature found for any of 2 secrets", 401},
		{"", "missing required headers", 401},
		{secretB, "signature valid", 204},
	} {
		response := l.post(tt.secret)
		require.Equal(t, tt.status, response.status)
		line := l.line("→")
		require.Contains(t, line, "#"+strconv.Itoa(n+1)+" ")
		require.Contains(t, line, "POST /path → "+strconv.Itoa(tt.status))
		require.Contains(t, line, tt.verdict)
		if tt.status == 401 {
			require.Contains(t, response.body, tt.verdict, "the sender keeps the reason")
		}
	}
	l.stop()
	l.line("nothing more")
	require.NoError(t, <-l.end)
}

func TestListen_Answers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want []got
	}{
		{nil, []got{{status: 204}}},
		{[]string{"--status=599"}, []got{{status: 599}, {status: 599}}},
		{[]string{"--status=200", "--retry-after=3"}, []got{{status: 200}}},
		{[]string{"--fail=1", "--retry-after=3"}, []got{{status: 500, retryAfter: "3"}, {status: 204}}},
		{[]string{"--fail=1", "--status=503", "--body=busy"}, []got{{status: 503, body: "busy"}, {status: 200, body: "busy"}}},
		{[]string{"--body=a,b", "--status=302"}, []got{{status: 302, body: "a,b"}}},
	} {
		l := listen(t, tt.args...)
		for _, w := range tt.want {
			require.Equal(t, w, l.post(""), tt.args)
			require.Contains(t, l.line("→"), "signature not checked")
		}
	}
}

func TestListen_PassesOn(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		requests <- r
		bodies <- string(text)
		w.Header().Set("Retry-After", "42")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	}))
	defer other.Close()
	l := listen(t, "--secret="+secretA, "--forward="+other.URL+"/hooks?x=1", "--fail=1")
	require.Equal(t, 500, l.post(secretA).status, "what fails is not passed on")
	require.Equal(t, 401, l.post("").status, "nor what is not signed")
	require.Equal(t, got{http.StatusTeapot, "short and stout", "42"}, l.post(secretA), "status, body and headers are the other's")
	request := <-requests
	require.Equal(t, "/hooks?x=1", request.URL.String())
	require.Equal(t, strings.TrimPrefix(other.URL, "http://"), request.Host)
	verifier, err := webhooks.NewWebhook(secretA)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify([]byte(<-bodies), request.Header))
	require.Contains(t, l.line("#3 "), "→ 418, signature valid, forwarded")

	other.Close()
	require.Equal(t, http.StatusBadGateway, l.post(secretA).status)
	require.Contains(t, l.line("#4 "), "→ 502")
}

func TestListen_RefusesFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--status=99"}, "--status: must be 200 to 599"},
		{[]string{"--status=0"}, "--status: must be 200 to 599"},
		{[]string{"--status=199"}, "--status: must be 200 to 599"},
		{[]string{"--status=600"}, "--status: must be 200 to 599"},
		{[]string{"--status=-1"}, "--status"},
		{[]string{"--fail=-1"}, "--fail: must not be negative"},
		{[]string{"--delay=-1s"}, "--delay: must not be negative"},
		{[]string{"--secret=hunter2!"}, "--secret: must be whsec_ followed by base64"},
		{[]string{"--secret=whsec_"}, "--secret: must be whsec_ followed by base64"},
		{[]string{"--retry-after=soon"}, "--retry-after: must be whole seconds"},
		{[]string{"--retry-after=-1"}, "--retry-after: must be whole seconds"},
		{[]string{"--status=204", "--body=x"}, "--body: an answer with --status 204 has none"},
		{[]string{"--forward=ftp://x"}, "--forward: must be an http or https URL"},
		{[]string{"--forward=http://"}, "--forward: must be an http or https URL"},
		{[]string{"--forward=http://x", "--status=500"}, "--status: with --forward"},
		{[]string{"--forward=http://x", "--body=x"}, "--body: with --forward"},
		{[]string{"--public-url=http://x"}, "--public-url: needs --register KEY"},
		{[]string{"--register=k", "--public-url=x"}, "--public-url: must be an http or https URL"},
		{[]string{"--register=k", "--url=x"}, "--url (POSTHORN_URL): must be an http or https URL"},
	} {
		_, err := parsed(t, tt.args...)
		require.ErrorContains(t, err, tt.want, tt.args)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := parsed(t, "--status=99", "--fail=-1")
	require.ErrorContains(t, err, "--status")
	require.ErrorContains(t, err, "--fail", "all that is wrong at once")
}

// installed is a Posthorn with the tenant demo behind a real HTTP server.
func installed(t *testing.T, options ...servicetest.Option) (env *servicetest.Env, url, key string) {
	t.Helper()
	env = servicetest.New(t, options...)
	svixAPI := func(r gin.IRouter) { svix.Mount(r, systems.Options{Service: env.Service}) }
	handler, err := api.New(api.Options{Service: env.Service, Store: env.Store, Version: "test", Log: slog.New(slog.DiscardHandler), Systems: []func(gin.IRouter){svixAPI}})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	key = env.Tenant("demo")
	env.EventTypes("order.created")
	return env, server.URL, key
}

func webhooksOf(t *testing.T, env *servicetest.Env) []models.Webhook {
	t.Helper()
	all, _, err := env.Service.Webhooks(t.Context(), "demo", models.WebhookFilter{}, models.Page{Limit: 10})
	require.NoError(t, err)
	return all
}

// listen --register makes its own webhook, verifies with its secret, and removes it at the end.
func TestListen_Registers(t *testing.T) {
	t.Parallel()
	for name, public := range map[string]bool{"on this machine": false, "with a public URL": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, url, key := installed(t)
			c, err := parsed(t, "--register="+key, "--url="+url)
			require.NoError(t, err)
			target := make(chan *neturl.URL, 1)
			if public {
				tunnel := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
					to := <-target
					target <- to
					p.SetURL(to)
				}})
				t.Cleanup(tunnel.Close)
				c.PublicURL = tunnel.URL + "/in"
			}
			l := startListen(t, c)
			to, err := neturl.Parse(l.URL)
			require.NoError(t, err)
			target <- to
			want := cmp.Or(c.PublicURL, l.URL)
			require.Contains(t, l.line("registered the webhook"), " at "+want)
			all := webhooksOf(t, env)
			require.Len(t, all, 1)
			require.Equal(t, want, all[0].URL)

			id := env.Publish("demo", "order.created", `{"n":1}`)
			attempt := env.Attempt("demo", env.Deliveries("demo", id)[0].ID)
			require.Equal(t, 204, attempt.StatusCode, attempt.Error)
			require.Contains(t, l.line("#1 "), "signature valid")

			l.stop()
			require.Contains(t, l.line("was removed"), all[0].ID)
			require.NoError(t, <-l.end)
			require.Empty(t, webhooksOf(t, env))
		})
	}
}

func TestListen_SaysWhyItDoesNotRegister(t *testing.T) {
	t.Parallel()
	env, url, key := installed(t)
	_, strict, strictKey := installed(t, servicetest.Strict)
	other := env.Tenant("other")
	nobody := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(nobody.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	reader := env.Key("demo", models.RoleRead)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"Posthorn elsewhere", []string{"--register=" + key, "--url=https://posthorn.example"}, "with --public-url"},
		{"no Posthorn", []string{"--register=" + key, "--url=" + gone.URL}, "no Posthorn at " + gone.URL},
		{"something else", []string{"--register=" + key, "--url=" + nobody.URL}, "something that is no Posthorn"},
		{"a key that is none", []string{"--register=hunter2", "--url=" + url}, "does not know the key"},
		{"a key that may not", []string{"--register=" + reader, "--url=" + url}, "role tenant"},
		{"another tenant's key", []string{"--register=" + other, "--url=" + url}, "--tenant (POSTHORN_TENANT)"},
		{"no such tenant", []string{"--register=" + servicetest.AdminKey, "--url=" + url, "--tenant=nobody"}, "no tenant nobody"},
		{"not a dev", []string{"--register=" + strictKey, "--url=" + strict}, "does not send to this machine over http"},
		{"a public URL that leads elsewhere", []string{"--register=" + key, "--url=" + url, "--public-url=" + nobody.URL}, "does not lead to this receiver: something else answers there, with 404"},
		{"a public URL that leads nowhere", []string{"--register=" + key, "--url=" + url, "--public-url=" + gone.URL}, "does not lead to this receiver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := parsed(t, tt.args...)
			require.NoError(t, err)
			err = c.Run(t.Context(), Environment{Out: io.Discard})
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotRegexp(t, regexp.QuoteMeta(key), err.Error())
		})
	}
}

// The webhook is already gone, as wanted. If it cannot be removed, the error names it.
func TestListen_RemovesItsWebhook(t *testing.T) {
	t.Parallel()
	env, url, key := installed(t)
	c, err := parsed(t, "--register="+key, "--url="+url)
	require.NoError(t, err)
	l := startListen(t, c)
	l.line("registered the webhook")
	for _, w := range webhooksOf(t, env) {
		_, err := env.Service.DeleteWebhook(t.Context(), "demo", w.ID)
		require.NoError(t, err)
	}
	l.stop()
	require.NotEmpty(t, l.line("was removed"))
	require.NoError(t, <-l.end)

	l = startListen(t, c)
	l.line("registered the webhook")
	id := webhooksOf(t, env)[0].ID
	keys, _, err := env.Service.Keys(t.Context(), "demo", models.Page{Limit: 1000})
	require.NoError(t, err)
	require.NoError(t, env.Service.RevokeKey(t.Context(), "demo", keys[0].ID))
	l.stop()
	l.line("nothing more")
	err = <-l.end
	require.ErrorContains(t, err, id)
	require.ErrorContains(t, err, "delete it by hand")
}
