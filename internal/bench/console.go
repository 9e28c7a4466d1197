package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ConsoleName is the scenario of the pages: how fast they answer when much is stored, and how much open pages cost.
const ConsoleName = "console"

// ConsoleStage is a Stage whose database can be filled with data for the pages.
type ConsoleStage interface {
	Stage
	// Fill stores n deliveries like the newest of the webhook, each with its own event, over all webhooks of its tenant
	// and FillPeriod until now, in every status. It also stores statistics of the last four weeks, and a few webhooks that fail
	// or are deactivated.
	Fill(ctx context.Context, webhook string, n int) error
}

// FillPeriod is the time over which Fill spreads its deliveries.
const FillPeriod = 24 * time.Hour

const (
	pageGets       = 40 // of each page
	openSessions   = 25
	openEach       = 20 // of one session, which may have no more
	mustPage       = "p99 < 200 ms"
	mustOpenCores  = "< 0.2 cores"
	mustOpenMemory = "< 100 MiB"
)

// Console measures the pages of console and portal.
func Console(ctx context.Context, o Options, size MassOptions, stage ConsoleStage) ([]Figure, error) {
	m := &mass{run: run{o: o, name: ConsoleName}, stage: stage, size: size, part: ConsoleName, id: strings.ToLower(rand.Text()[:8])}
	err := m.perform(ctx, func(m *mass, ctx context.Context) error { return m.console(ctx, stage) })
	return m.figures, err
}

func (m *mass) console(ctx context.Context, stage ConsoleStage) error {
	m.o.Payload = storedPayload
	s, err := m.firstOfMany(ctx, stage)
	if err != nil {
		return err
	}
	h := s.hooks[0]
	m.progress.phase("storing deliveries")
	if err := stage.Fill(ctx, h.id, m.size.Stored); err != nil {
		return err
	}
	if err := m.pages(ctx, s); err != nil {
		return err
	}
	return m.openPages(ctx, s)
}

// consolePage is a page to get.
type consolePage struct{ name, path string }

// consolePages are the pages, with the ids of what is stored.
func (m *mass) consolePages(ctx context.Context, h *hook, eventType string) ([]consolePage, error) {
	api, tenant := "/v1/tenants/"+h.tenant, "/console/tenants/"+h.tenant
	failed, err := m.ids(ctx, api+"/deliveries?status=failed&limit=1")
	if err != nil {
		return nil, err
	}
	events, err := m.ids(ctx, api+"/events?limit=1")
	if err != nil {
		return nil, err
	}
	var recovery struct{ ID string }
	if err := m.target.do(ctx, http.MethodPost, api+"/webhooks/"+h.id+"/recover", map[string]any{"statuses": []string{"failed"}}, &recovery); err != nil {
		return nil, err
	}
	day := url.Values{"since": {time.Now().UTC().Add(-12 * time.Hour).Format("2006-01-02T15:04")}}.Encode()
	pages := []consolePage{
		{"overview", "/console"},
		{"overview, 7 days", "/console?span=7d"},
		{"overview, 28 days", "/console?span=28d"},
		{"tenants", "/console/tenants"},
		{"tenants, found", "/console/tenants?q=bench"},
		{"event types", "/console/event-types"},
	}
	for _, of := range []struct{ name, base string }{{"all ", "/console"}, {"", tenant}} {
		pages = append(pages,
			consolePage{of.name + "webhooks", of.base + "/webhooks"},
			consolePage{of.name + "webhooks, failing", of.base + "/webhooks?status=failing"},
			consolePage{of.name + "webhooks, deactivated", of.base + "/webhooks?status=deactivated"},
			consolePage{of.name + "webhooks, paused (none)", of.base + "/webhooks?status=paused"},
			consolePage{of.name + "webhooks, of a type that one gets", of.base + "/webhooks?type=" + eventType},
			consolePage{of.name + "deliveries", of.base + "/deliveries"},
			consolePage{of.name + "deliveries, failed", of.base + "/deliveries?status=failed"},
			consolePage{of.name + "deliveries, held", of.base + "/deliveries?status=held"},
			consolePage{of.name + "deliveries, pending", of.base + "/deliveries?status=pending"},
			consolePage{of.name + "deliveries, of 12 hours", of.base + "/deliveries?" + day},
			consolePage{of.name + "deliveries, of one webhook", of.base + "/deliveries?webhook=" + h.id},
			consolePage{of.name + "deliveries, of a type without any", of.base + "/deliveries?type=" + eventType + ".not"},
			consolePage{of.name + "recoveries", of.base + "/recoveries"},
			consolePage{of.name + "audit log", of.base + "/audit"})
	}
	webhook := tenant + "/webhooks/" + h.id
	return append(pages,
		consolePage{"tenant", tenant},
		consolePage{"tenant, 7 days", tenant + "?span=7d"},
		consolePage{"tenant, 28 days", tenant + "?span=28d"},
		consolePage{"webhook", webhook},
		consolePage{"webhook, 7 days", webhook + "?span=7d"},
		consolePage{"webhook, 28 days", webhook + "?span=28d"},
		consolePage{"webhook, edit", webhook + "/edit"},
		consolePage{"webhook, recover", webhook + "/recover"},
		consolePage{"delivery", tenant + "/deliveries/" + failed[0]},
		consolePage{"events", tenant + "/events"},
		consolePage{"events, of a type without any", tenant + "/events?type=" + eventType + ".not"},
		consolePage{"events, of 12 hours", tenant + "/events?" + day},
		consolePage{"event", tenant + "/events/" + events[0]},
		consolePage{"recovery", tenant + "/recoveries/" + recovery.ID},
		consolePage{"catalogue", tenant + "/catalogue"},
		consolePage{"keys", tenant + "/keys"},
		consolePage{"settings", tenant + "/settings"}), nil
}

// ids reads the ids on a page of a list. The page must have some.
func (m *mass) ids(ctx context.Context, path string) (ids []string, err error) {
	var out struct{ Data []struct{ ID string } }
	if err := m.target.do(ctx, http.MethodGet, path, nil, &out); err != nil {
		return nil, err
	}
	for _, row := range out.Data {
		ids = append(ids, row.ID)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return ids, nil
}

// getPage gets a page repeatedly. The figures include the first time, which may be slower.
func (m *mass) getPage(ctx context.Context, v *visitor, p consolePage) error {
	var micros []uint32
	for range pageGets {
		began := time.Now()
		if err := v.get(ctx, p.path); err != nil {
			return err
		}
		micros = append(micros, uint32(time.Since(began).Microseconds())) //nolint:gosec // less than manageTimeout
	}
	first := micros[0]
	times := percentiles(micros)
	m.notef(p.name, mustPage, "%.1f / %.1f ms, first %.1f ms", times.P50, times.P99, float64(first)/1000)
	return nil
}

// openPages measures the cost of events without and with open pages, which ask for changes as browsers do.
func (m *mass) openPages(ctx context.Context, s *stream) error {
	tenant := s.hooks[0].tenant
	const each = openSessions * openEach / 2
	deliveries, err := m.ids(ctx, fmt.Sprintf("/v1/tenants/%s/deliveries?limit=%d", tenant, min(pageSize, each)))
	if err != nil {
		return err
	}
	webhooks, err := m.ids(ctx, fmt.Sprintf("/v1/tenants/%s/webhooks?limit=%d", tenant, min(pageSize, each)))
	if err != nil {
		return err
	}
	base := "/console/tenants/" + tenant
	paths := []string{"/console", "/console/webhooks", "/console/deliveries", "/console/recoveries", base, base + "/webhooks", base + "/deliveries",
		base + "/events", base + "/recoveries", base + "/webhooks/" + s.hooks[0].id}
	for _, id := range deliveries {
		paths = append(paths, base+"/deliveries/"+id)
	}
	for _, id := range webhooks {
		paths = append(paths, base+"/webhooks/"+id, base+"/deliveries?webhook="+id)
	}
	m.progress.phase("events alone")
	alone, err := m.flowing(ctx, s)
	if err != nil {
		return err
	}
	m.progress.phase("opening pages")
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	var open sync.WaitGroup
	var opened, changes, lost atomic.Int64
	for session := range openSessions {
		v := &visitor{target: m.target}
		if err := v.signIn(ctx); err != nil {
			return err
		}
		for page := range openEach {
			path := paths[(session*openEach+page)%len(paths)]
			open.Go(func() {
				if err := v.watch(watching, path, &opened, &changes); err != nil && watching.Err() == nil {
					lost.Add(1)
				}
			})
		}
	}
	if _, ok := m.waitFor(ctx, askFirst, func(context.Context) (bool, error) { return opened.Load()+lost.Load() >= openSessions*openEach, nil }); !ok || lost.Load() > 0 {
		return fmt.Errorf("%d of %d pages were opened, and %d refused", opened.Load(), openSessions*openEach, lost.Load())
	}
	m.progress.phase("events and open pages")
	changed := changes.Load()
	with, err := m.flowing(ctx, s)
	changed = changes.Load() - changed
	cancel()
	open.Wait()
	if err != nil {
		return err
	}
	m.notef("events: p50 / p99 alone", "", "%v", alone.heard)
	m.notef("events: p50 / p99 with 500 pages open", "", "%v", with.heard)
	m.notef("reloads of the open pages after a change", "", "%.1f/s", float64(changed)/with.lasted.Seconds())
	for _, name := range slices.Sorted(maps.Keys(with.used)) {
		musts := [2]string{}
		if name == "posthorn" {
			musts = [2]string{mustOpenCores, mustOpenMemory}
		}
		m.notef("500 open pages: processor of "+name, musts[0], "%.3f cores more than %.3f", with.cores(name)-alone.cores(name), alone.cores(name))
		m.notef("500 open pages: memory of "+name, musts[1], "%.0f MiB more than %.0f", with.used[name].PeakMiB-alone.used[name].PeakMiB, alone.used[name].PeakMiB)
	}
	return nil
}

// flow is the cost of a period of events.
type flow struct {
	lasted time.Duration
	used   map[string]ProcessUsage
	heard  Beside
}

func (f *flow) cores(name string) float64 { return f.used[name].CPUSeconds / f.lasted.Seconds() }

// flowing publishes at a quiet rate and measures all processes.
func (m *mass) flowing(ctx context.Context, s *stream) (*flow, error) {
	watch, err := startWatch(procDir, m.stage.Processes())
	if err != nil {
		return nil, err
	}
	began := time.Now()
	h := (&neighbour{m, s}).publish(ctx, m.size.Load)
	f := &flow{lasted: time.Since(began), used: map[string]ProcessUsage{}, heard: h.all}
	usage, err := watch.stop()
	if err == nil {
		err = h.err
	}
	if usage != nil {
		for _, p := range usage.Processes {
			f.used[p.Name] = p
		}
	}
	return f, err
}

// visitor is the browser of a signed-in visitor.
type visitor struct {
	target *target
	cookie string
}

func (v *visitor) do(ctx context.Context, client *http.Client, method, path, accept string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(v.target.base.String(), "/")+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("Cookie", v.cookie)
	if body != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return client.Do(request)
}

// signIn signs in with the admin key. The cookie is Secure, which does not matter here.
func (v *visitor) signIn(ctx context.Context) error {
	client := *v.target.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := v.do(ctx, &client, http.MethodPost, "/console/login", "text/html", strings.NewReader(url.Values{"key": {v.target.key}}.Encode()))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	for _, c := range response.Cookies() {
		v.cookie = c.Name + "=" + c.Value
	}
	if response.StatusCode != http.StatusSeeOther || v.cookie == "" {
		return fmt.Errorf("signing in: %s", response.Status)
	}
	return nil
}

// get gets a whole page.
func (v *visitor) get(ctx context.Context, path string) error {
	response, err := v.do(ctx, v.target.client, http.MethodGet, path, "text/html", nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || response.Request.URL.Path == "/console/login" {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return nil
}

// watch keeps a page open until ctx ends. It gets the page once, and again after each change that the stream names.
func (v *visitor) watch(ctx context.Context, path string, opened, changes *atomic.Int64) error {
	client := &http.Client{Transport: v.target.client.Transport} // a stream has no end
	response, err := v.do(ctx, client, http.MethodGet, path, "text/event-stream", nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return fmt.Errorf("watching %s: %s", path, response.Status)
	}
	if err := v.get(ctx, path); err != nil {
		return err
	}
	opened.Add(1)
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if lines.Text() != "event: change" {
			continue
		}
		changes.Add(1)
		if err := v.get(ctx, path); err != nil {
			return err
		}
	}
	return lines.Err()
}
