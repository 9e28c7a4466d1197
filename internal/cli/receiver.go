package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/posthorn/posthorn/internal/pause"
)

// receiver answers and prints.
type receiver struct {
	*ListenCommand

	out   io.Writer
	proxy *httputil.ReverseProxy // nil = requests are not passed on

	mu        sync.Mutex
	verifiers []*webhooks.Webhook
	left      int // requests still to fail
	count     int
	nonce     string // of the question whether a URL leads here; "" = no question is open
}

func newReceiver(c *ListenCommand, out io.Writer) (*receiver, error) {
	r := &receiver{ListenCommand: c, out: out, left: c.Fail}
	var err error
	if r.verifiers, err = newVerifiers(c.Secret); err != nil || c.Forward == "" {
		return r, err
	}
	target, err := url.Parse(c.Forward)
	if err != nil {
		return nil, fmt.Errorf("--forward: %w", err)
	}
	r.proxy = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = target, target.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "cannot be forwarded: "+err.Error(), http.StatusBadGateway)
		},
	}
	return r, nil
}

func newVerifiers(secrets []string) ([]*webhooks.Webhook, error) {
	all := make([]*webhooks.Webhook, 0, len(secrets))
	for _, secret := range secrets {
		verifier, err := webhooks.NewWebhook(secret)
		if err != nil || strings.TrimPrefix(secret, "whsec_") == "" {
			return nil, errors.New("--secret: must be whsec_ followed by base64")
		}
		all = append(all, verifier)
	}
	return all, nil
}

// maxShown is the largest part of a body that is read.
const maxShown = 8 << 20

// reply is how a request is answered.
type reply struct {
	status  int
	body    string
	verdict string // on the signature
	pass    bool   // it is passed on instead
}

// ServeHTTP receives one delivery.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if r.isQuestion(request) {
		w.Header().Set(nonceHeader, request.Header.Get(nonceHeader))
		return
	}
	number := r.next()
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxShown))
	a := reply{status: http.StatusBadRequest, body: "the body cannot be read", verdict: "the body cannot be read"}
	if err == nil {
		a = r.judge(request.Header, body)
	}
	if !a.pass {
		r.print(number, request, body, a)
	}
	if pause.For(request.Context(), r.Delay) != nil {
		return
	}
	if !a.pass {
		r.answer(w, a)
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	seen := &statusWriter{ResponseWriter: w}
	r.proxy.ServeHTTP(seen, request)
	a.status = seen.status
	a.verdict += ", forwarded"
	r.print(number, request, body, a)
}

func (r *receiver) answer(w http.ResponseWriter, a reply) {
	if r.RetryAfter != "" && a.status >= http.StatusMultipleChoices {
		w.Header().Set("Retry-After", r.RetryAfter)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// next gives a request its number.
func (r *receiver) next() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	return r.count
}

// judge verifies the signature and decides on the answer.
func (r *receiver) judge(header http.Header, body []byte) reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := reply{verdict: "signature not checked (no --secret)"}
	if len(r.verifiers) > 0 {
		if reason := r.refusal(header, body); reason != "" {
			return reply{status: http.StatusUnauthorized, body: "the signature is refused: " + reason + "\n", verdict: "SIGNATURE WRONG: " + reason}
		}
		a.verdict = "signature valid"
	}
	switch {
	case r.left > 0:
		r.left--
		if a.status = http.StatusInternalServerError; r.Status != nil {
			a.status = *r.Status
		}
	case r.Fail == 0 && r.Status != nil:
		a.status = *r.Status
	case r.proxy != nil:
		a.pass = true
	case r.Body != "":
		a.status = http.StatusOK
	default:
		a.status = http.StatusNoContent
	}
	if mayHaveBody(a.status) {
		a.body = r.Body
	}
	return a
}

// refusal returns why none of the secrets verifies a signature; "" if one does.
func (r *receiver) refusal(header http.Header, body []byte) string {
	var last error
	for _, verifier := range r.verifiers {
		if last = verifier.Verify(body, header); last == nil {
			return ""
		}
	}
	reason := strings.TrimPrefix(last.Error(), "unable to verify payload, err: ")
	if errors.Is(last, webhooks.ErrNoMatchingSignature) && len(r.verifiers) > 1 {
		reason = fmt.Sprintf("%s for any of %d secrets", reason, len(r.verifiers))
	}
	return reason
}

func (r *receiver) print(number int, request *http.Request, body []byte, a reply) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n#%d %s %s %s → %d, %s\n", number, time.Now().Format("15:04:05.000"), request.Method, request.URL.Path, a.status, a.verdict)
	names := make([]string, 0, len(request.Header))
	for name := range request.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "  %s: %s\n", strings.ToLower(name), strings.Join(request.Header[name], ", "))
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "  ", "  ") == nil {
		body = pretty.Bytes()
	}
	fmt.Fprintf(&b, "\n  %s\n", body)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = io.WriteString(r.out, b.String())
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status < http.StatusOK { // an interim answer is not the answer
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
