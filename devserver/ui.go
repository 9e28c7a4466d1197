package devserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	uiapi "github.com/temporalio/ui-server/v2/server/api"
	uiauth "github.com/temporalio/ui-server/v2/server/auth"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uicors "github.com/temporalio/ui-server/v2/server/cors"
	uicsrf "github.com/temporalio/ui-server/v2/server/csrf"
	uiheaders "github.com/temporalio/ui-server/v2/server/headers"
	uiroute "github.com/temporalio/ui-server/v2/server/route"
	uiassets "github.com/temporalio/ui-server/v2/ui"

	"github.com/posthorn/posthorn/internal/callers"
)

// webUI is Temporal's Web UI, served from assets in its Go module.
type webUI struct {
	url    string
	server *http.Server
}

// startUI serves the Web UI for the server at frontend and waits until it answers. The UI accepts loopback names, its
// own address, and the hosts of the given URLs.
func startUI(ctx context.Context, addr netip.AddrPort, frontend, namespace string, urls []string) (*webUI, error) {
	pages, err := uiPages(&uiconfig.Config{
		TemporalGRPCAddress: frontend,
		Host:                addr.Addr().String(),
		Port:                int(addr.Port()),
		EnableUI:            true,
		DefaultNamespace:    namespace,
		HideLogs:            true,
		// The page is served over plain http, where browsers keep no cookie that is marked secure.
		CORS: uiconfig.CORS{CookieInsecure: true},
		// Nothing here calls home.
		DisableNewsFetch:   true,
		NotifyOnNewVersion: false,
	})
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, &AddressError{Option: "UIAddr", Err: fmt.Errorf("address %s: %w", addr, err)}
	}
	ui := &webUI{url: "http://" + dialable(addr), server: &http.Server{
		Handler: ownHosts(callers.LocalHosts(addr.String(), urls...), pages), ReadHeaderTimeout: 10 * time.Second}}
	go func() { _ = ui.server.Serve(listener) }() // until stop
	if err := ui.await(ctx); err != nil {
		ui.stop()
		return nil, err
	}
	return ui, nil
}

// ownHosts refuses requests whose Host names another site. Otherwise a page of that site could start and terminate
// workflows through a visitor's browser.
func ownHosts(own func(host string) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !own(r.Host) {
			http.Error(w, "the Host header names another site: use a loopback name, or set POSTHORN_TEMPORAL_UI_URL", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// uiPages assembles the Web UI as its own server does. That server has no place for a handler before its own.
func uiPages(c *uiconfig.Config) (http.Handler, error) {
	provider, err := uiconfig.NewConfigProviderWithRefresh(c)
	if err != nil {
		return nil, err
	}
	assets, err := uiassets.Assets()
	if err == nil {
		assets, err = fs.Sub(assets, "local")
	}
	if err != nil {
		return nil, err
	}
	e := echo.New()
	secureCookie := !c.CORS.CookieInsecure
	e.Use(middleware.Recover(), middleware.Gzip(), uicors.CORSMiddleware(uicors.CORSConfig{
		AllowHeaders: []string{echo.HeaderOrigin, echo.HeaderContentType, echo.HeaderAccept, echo.HeaderXCSRFToken,
			echo.HeaderAuthorization, uiauth.AuthorizationExtrasHeader, callerType},
		AllowCredentials: true,
		ConfigProvider:   provider,
	}), middleware.Secure(), uicsrf.EnsureTokenCookie(secureCookie), middleware.CSRFWithConfig(uicsrf.MiddlewareConfig(provider, secureCookie)))
	uiroute.SetHealthRoute(e)
	uiroute.SetAuthRoutes(e, provider)
	uiroute.SetRenderRoute(e, "/")
	forwarded := []uiapi.Middleware{uiheaders.WithForwardHeaders([]string{uiauth.AuthorizationExtrasHeader, callerType})}
	return e, errors.Join(uiroute.SetAPIRoutes(e, provider, forwarded), uiroute.SetUIRoutes(e, c.PublicPath, assets, provider))
}

const callerType = "Caller-Type"

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

func (ui *webUI) stop() { _ = ui.server.Close() }
