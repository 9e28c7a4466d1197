package devserver

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

// webUI is Temporal's Web UI, served from assets in its Go module.
type webUI struct {
	url    string
	server *uiserver.Server
}

// startUI serves the Web UI for the server at frontend and waits until it answers.
func startUI(ctx context.Context, addr netip.AddrPort, frontend, namespace string) (*webUI, error) {
	port := ":" + strconv.Itoa(int(addr.Port()))
	ui := &webUI{
		url: "http://" + dialable(addr),
		server: uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
			TemporalGRPCAddress: frontend,
			Host:                strings.TrimSuffix(addr.String(), port), // in brackets if it is IPv6
			Port:                int(addr.Port()),
			EnableUI:            true,
			DefaultNamespace:    namespace,
			HideLogs:            true,
			// The page is served over plain http, where browsers keep no cookie that is marked secure.
			CORS: uiconfig.CORS{CookieInsecure: true},
			// Nothing here calls home.
			DisableNewsFetch:   true,
			NotifyOnNewVersion: false,
		})),
	}
	// Start returns when Stop is called, always with nil: an address that it cannot bind ends the process, which is why
	// reserve has tried it before.
	go func() { _ = ui.server.Start() }()
	if err := ui.await(ctx); err != nil {
		ui.stop()
		return nil, err
	}
	return ui, nil
}

func (ui *webUI) await(ctx context.Context) error {
	return poll(ctx, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, ui.url+"/healthz", http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("health: %s", response.Status)
		}
		return nil
	})
}

func (ui *webUI) stop() { ui.server.Stop() }
