package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/posthorn/posthorn/internal/config"
)

// ListenCommand is `posthorn listen`: a receiver to try things with.
type ListenCommand struct {
	Addr   string        `default:"127.0.0.1:9000" help:"Address to listen on. Default ${default}."`
	Secret string        `help:"Signing secret of the webhook (whsec_…): signatures are then verified, and a wrong one is refused with 401."`
	Fail   int           `help:"Fail the first N requests."`
	Status int           `help:"Answer with this status; with --fail only the failing requests, by default with 500."`
	Delay  time.Duration `help:"Wait before answering."`
}

// Run receives until ctx ends.
func (c *ListenCommand) Run(ctx context.Context, env Environment) error {
	r := &receiver{ListenCommand: *c, out: env.Out, left: c.Fail}
	if c.Secret != "" {
		var err error
		if r.verifier, err = webhooks.NewWebhook(c.Secret); err != nil {
			return fmt.Errorf("--secret: %w", err)
		}
	}
	listener, err := config.Listen(ctx, "--addr", c.Addr)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(env.Out, "listening on http://%s\n", listener.Addr()); err != nil {
		return err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// receiver answers and prints.
type receiver struct {
	ListenCommand
	verifier *webhooks.Webhook
	out      io.Writer

	mu    sync.Mutex
	left  int // requests still to fail
	count int
}

// maxShown bounds what is read of a body.
const maxShown = 8 << 20

// ServeHTTP receives one delivery.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxShown))
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	status, verdict := r.judge(request.Header, body)
	r.print(request, body, status, verdict)
	if r.Delay > 0 {
		select {
		case <-time.After(r.Delay):
		case <-request.Context().Done():
			return
		}
	}
	w.WriteHeader(status)
}

// judge verifies the signature and decides on the answer.
func (r *receiver) judge(header http.Header, body []byte) (status int, verdict string) {
	status, verdict = http.StatusNoContent, "signature not checked (no --secret)"
	if r.verifier != nil {
		if err := r.verifier.Verify(body, header); err != nil {
			return http.StatusUnauthorized, "SIGNATURE WRONG: " + err.Error()
		}
		verdict = "signature valid"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	switch {
	case r.left > 0:
		r.left--
		if status = r.Status; status == 0 {
			status = http.StatusInternalServerError
		}
	case r.Fail == 0 && r.Status != 0:
		status = r.Status
	}
	return status, verdict
}

func (r *receiver) print(request *http.Request, body []byte, status int, verdict string) {
	var b strings.Builder
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&b, "\n#%d %s %s %s → %d, %s\n", r.count, time.Now().Format("15:04:05.000"), request.Method, request.URL.Path, status, verdict)
	names := make([]string, 0, len(request.Header))
	for name := range request.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "  %s: %s\n", strings.ToLower(name), request.Header.Get(name))
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "  ", "  ") == nil {
		body = pretty.Bytes()
	}
	fmt.Fprintf(&b, "\n  %s\n", body)
	_, _ = io.WriteString(r.out, b.String())
}
