package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// HealthcheckCommand is `posthorn healthcheck`: the image has no shell and no curl.
type HealthcheckCommand struct {
	URL string `arg:"" optional:"" default:"http://127.0.0.1:8080/readyz" help:"The URL to ask. Default ${default}."`
}

// Run fails if Posthorn is not ready.
func (c *HealthcheckCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}
