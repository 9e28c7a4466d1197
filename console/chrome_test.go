package console_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chrome is a real browser without a window. The tests control it in its own protocol over pipes.
type chrome struct {
	t  *testing.T
	in io.Writer

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
	events  map[string][]json.RawMessage // by session and method
	frames  map[string]bool              // that have been looked into
	err     error
}

type answer struct {
	ID        int             `json:"id"`
	Result    json.RawMessage `json:"result"`
	Error     *struct{ Message string }
	SessionID string          `json:"sessionId"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
}

// browserNames are the names of the program in different distributions.
var browserNames = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// findBrowser returns the path of a browser. It installs Debian's if there is none, once for all tests.
var findBrowser = sync.OnceValues(func() (string, error) {
	look := func() string {
		for _, name := range browserNames {
			if path, err := exec.LookPath(name); err == nil {
				return path
			}
		}
		return ""
	}
	if path := look(); path != "" {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", fmt.Errorf("these tests need Chromium, which is not installed (looked for %s), and there is no apt-get to install it with", strings.Join(browserNames, ", "))
	}
	install := `export DEBIAN_FRONTEND=noninteractive; apt-get install -y --no-install-recommends chromium || { apt-get update && apt-get install -y --no-install-recommends chromium; }`
	command := []string{"sh", "-c", install}
	if os.Geteuid() != 0 {
		command = append([]string{"sudo", "-n"}, command...)
	}
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("these tests need Chromium, and it cannot be installed: %w\n%s", err, out)
	}
	if path := look(); path != "" {
		return path, nil
	}
	return "", fmt.Errorf("these tests need Chromium: it was installed, and is not in the path")
})

// newChrome starts a browser that ends with the test.
func newChrome(t *testing.T) *chrome {
	t.Helper()
	path, err := findBrowser()
	require.NoError(t, err)
	toBrowser, in, err := os.Pipe()
	require.NoError(t, err)
	out, fromBrowser, err := os.Pipe()
	require.NoError(t, err)
	profile, err := os.MkdirTemp("", "posthorn-browser-") //nolint:usetesting // what the browser leaves behind still writes into it for a moment
	require.NoError(t, err)
	process := exec.CommandContext(t.Context(), path, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars", "--force-device-scale-factor=1", "--ignore-certificate-errors",
		"--user-data-dir="+profile, "about:blank")
	process.ExtraFiles = []*os.File{toBrowser, fromBrowser}
	process.WaitDelay = 5 * time.Second
	require.NoError(t, process.Start())
	_ = toBrowser.Close()
	_ = fromBrowser.Close()
	c := &chrome{t: t, in: in, waiting: map[int]chan answer{}, events: map[string][]json.RawMessage{}, frames: map[string]bool{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read(out)
	}()
	t.Cleanup(func() {
		c.send("", "Browser.close", nil)
		_ = process.Wait()
		_ = in.Close()
		<-ended
		_ = out.Close()
		for range 50 {
			if os.RemoveAll(profile) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	return c
}

func (c *chrome) read(out io.Reader) {
	r := bufio.NewReader(out)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.err = err
			for _, waiting := range c.waiting {
				close(waiting)
			}
			c.waiting = map[int]chan answer{}
			return
		}
		var a answer
		if json.Unmarshal(text[:len(text)-1], &a) != nil {
			continue
		}
		c.mu.Lock()
		if a.ID != 0 {
			if waiting := c.waiting[a.ID]; waiting != nil {
				delete(c.waiting, a.ID)
				waiting <- a
			}
		} else {
			c.events[a.SessionID+" "+a.Method] = append(c.events[a.SessionID+" "+a.Method], a.Params)
		}
		c.mu.Unlock()
	}
}

func (c *chrome) send(session, method string, params any) <-chan answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	reply := make(chan answer, 1)
	if c.err != nil {
		close(reply)
		return reply
	}
	c.waiting[c.last] = reply
	message := map[string]any{"id": c.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if session != "" {
		message["sessionId"] = session
	}
	text, err := json.Marshal(message)
	require.NoError(c.t, err)
	_, _ = c.in.Write(append(text, 0))
	return reply
}

// maxWait is how long a browser may take for anything, on a machine that is busy.
const maxWait = 60 * time.Second

func (c *chrome) call(session, method string, params, result any) {
	c.t.Helper()
	select {
	case a, ok := <-c.send(session, method, params):
		require.True(c.t, ok, "the browser has ended: %s", method)
		if a.Error != nil {
			require.Fail(c.t, "the browser refuses", "%s: %s", method, a.Error.Message)
		}
		if result != nil {
			require.NoError(c.t, json.Unmarshal(a.Result, result))
		}
	case <-time.After(maxWait):
		require.Fail(c.t, "the browser does not answer", method)
	}
}

// tab is a page of the browser, with its own cookies.
type tab struct {
	*chrome
	session, target string
	base            string // of the addresses that it is sent to
}

func (c *chrome) tab(base string) *tab {
	c.t.Helper()
	var jar struct{ BrowserContextID string }
	c.call("", "Target.createBrowserContext", nil, &jar)
	var made struct{ TargetID string }
	c.call("", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": jar.BrowserContextID}, &made)
	var attached struct{ SessionID string }
	c.call("", "Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	b := &tab{chrome: c, session: attached.SessionID, target: made.TargetID, base: base}
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		b.do(domain+".enable", nil, nil)
	}
	b.size(1280, 900, false)
	return b
}

func (b *tab) do(method string, params, result any) {
	b.t.Helper()
	b.call(b.session, method, params, result)
}

func (b *tab) size(width, height int, phone bool) {
	b.t.Helper()
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
}

// colours sets the viewer's preferred colours: light or dark.
func (b *tab) colours(scheme string) {
	b.t.Helper()
	b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

func (b *tab) withoutScripts() {
	b.t.Helper()
	b.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
}

// open goes to an address and waits until its page is there.
func (b *tab) open(address string) {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.base + address
	}
	b.leave(func() { b.do("Page.navigate", map[string]any{"url": address}, nil) })
}

// leave calls do, which leads to another page, and waits until that page is loaded.
func (b *tab) leave(how func()) {
	b.t.Helper()
	b.eval(`window.left = "no"`, nil)
	how()
	b.until(`window.left === undefined && document.readyState === "complete"`)
}

// eval reads the value of a script.
func (b *tab) eval(script string, value any) {
	b.t.Helper()
	problem := b.try(script, value)
	require.Empty(b.t, problem, script)
}

func (b *tab) try(script string, value any) (problem string) {
	b.t.Helper()
	select {
	case a, ok := <-b.send(b.session, "Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}):
		if !ok {
			return "the browser has ended"
		}
		if a.Error != nil { // the page goes
			return a.Error.Message
		}
		var result struct {
			Result           struct{ Value json.RawMessage }
			ExceptionDetails *struct {
				Text      string
				Exception struct{ Description string }
			}
		}
		require.NoError(b.t, json.Unmarshal(a.Result, &result))
		if e := result.ExceptionDetails; e != nil {
			return e.Text + " " + e.Exception.Description
		}
		if value != nil && len(result.Result.Value) > 0 {
			require.NoError(b.t, json.Unmarshal(result.Result.Value, value))
		}
		return ""
	case <-time.After(maxWait):
		return "the browser does not answer"
	}
}

// until waits for a condition of the page.
func (b *tab) until(condition string) {
	b.t.Helper()
	deadline := time.Now().Add(maxWait)
	for {
		var is bool
		if b.try("!!("+condition+")", &is) == "" && is {
			return
		}
		if time.Now().After(deadline) {
			require.Fail(b.t, "this does not come true", "%s\n%s", condition, b.text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// text returns the visible text of the page.
func (b *tab) text() (text string) {
	_ = b.try(`location.href + "\n" + document.body.innerText`, &text)
	return text
}

// sees waits until the page shows a text.
func (b *tab) sees(text string) {
	b.t.Helper()
	b.until(`document.body.innerText.replace(/\s+/g, " ").includes(` + quote(text) + `)`)
}

const finders = `
	const named = (selector, name) => [...document.querySelectorAll(selector)].find((e) => e.innerText.trim() === name || e.getAttribute("aria-label") === name);
	const labels = [...document.querySelectorAll("label")];
	const labelled = (name) => (labels.find((l) => l.innerText.trim() === name) || labels.find((l) => l.innerText.trim().startsWith(name)))?.querySelector("input, select, textarea");`

// quote writes a text as a script does.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(quoted)
}

// press presses the button, or follows the link, of a name.
func (b *tab) press(name string) {
	b.t.Helper()
	b.leave(func() {
		b.eval(`(() => {`+finders+` const e = named("button, a, [role=button]", `+quote(name)+`); if (!e) throw new Error("no button or link "+`+quote(name)+`); e.focus(); e.click(); })()`, nil)
	})
}

// fill types into the field of a label.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	b.eval(`(() => {`+finders+` const e = labelled(`+quote(label)+`); if (!e) throw new Error("no field "+`+quote(label)+`);
		if (e.type === "checkbox") { e.checked = `+quote(text)+` !== ""; return; } e.focus(); e.value = `+quote(text)+`; })()`, nil)
}

func (b *tab) value(label string) (text string) {
	b.t.Helper()
	b.eval(`(() => {`+finders+` return labelled(`+quote(label)+`).value; })()`, &text)
	return text
}

// nameOf is a script that returns the name of an element.
const nameOf = `(e) => e.getAttribute("aria-label") || e.innerText.trim()`

// reach goes to the control of a name with Tab alone, from the one that has the focus, and around the page at most once. The focus
// can be seen there.
func (b *tab) reach(name string) {
	b.t.Helper()
	var most int
	b.eval(`document.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]").length
		+ 6 * document.querySelectorAll("input[type=datetime-local]").length`, &most) // each part of a time is a stop
	var passed []string
	for range most + 2 { // the browser itself is between the last and the first
		b.key("Tab", 9)
		var at string
		if b.eval(`(`+nameOf+`)(document.activeElement).slice(0, 80)`, &at); at == name {
			var seen bool
			b.eval(`document.activeElement.matches(":focus-visible") && getComputedStyle(document.activeElement).outlineStyle !== "none"`, &seen)
			require.True(b.t, seen, "the focus on %q is not seen", name)
			return
		}
		passed = append(passed, at)
	}
	require.Fail(b.t, "the keyboard does not lead there", "%q; to %q", name, passed)
}

// key presses a key, as a person without a mouse does.
func (b *tab) key(name string, code int) {
	b.t.Helper()
	text := ""
	if name == "Enter" {
		text = "\r"
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code, "text": text}, nil)
	}
}

// shot writes a picture of the whole page.
func (b *tab) shot(path string, whole bool) {
	b.t.Helper()
	var picture struct{ Data string }
	b.do("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &picture)
	data, err := base64.StdEncoding.DecodeString(picture.Data)
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(path, data, 0o600))
}

// inFrame returns the page in the frame of a page. It belongs to another site, so it has a separate process.
func (b *tab) inFrame() *tab {
	b.t.Helper()
	deadline := time.Now().Add(maxWait)
	for {
		var targets struct {
			TargetInfos []struct{ TargetID, Type, URL, ParentFrameID string }
		}
		b.call("", "Target.getTargets", map[string]any{"filter": []map[string]any{{"type": "iframe"}}}, &targets)
		for _, info := range targets.TargetInfos {
			if b.frames[info.TargetID] || !strings.Contains(info.URL, "/portal") {
				continue
			}
			b.frames[info.TargetID] = true
			var attached struct{ SessionID string }
			b.call("", "Target.attachToTarget", map[string]any{"targetId": info.TargetID, "flatten": true}, &attached)
			return &tab{chrome: b.chrome, session: attached.SessionID, target: info.TargetID, base: b.base}
		}
		if time.Now().After(deadline) {
			require.Fail(b.t, "the page has no frame", "%+v", targets)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// frameShows reports whether the page's frame shows a text, once it is loaded.
func (b *tab) frameShows(text string) bool {
	b.t.Helper()
	b.until(`document.readyState === "complete"`)
	var targets struct {
		TargetInfos []struct{ TargetID, Type, URL string }
	}
	b.call("", "Target.getTargets", map[string]any{"filter": []map[string]any{{"type": "iframe"}}}, &targets)
	for _, info := range targets.TargetInfos {
		if b.frames[info.TargetID] {
			continue
		}
		b.frames[info.TargetID] = true
		var attached struct{ SessionID string }
		b.call("", "Target.attachToTarget", map[string]any{"targetId": info.TargetID, "flatten": true}, &attached)
		frame := &tab{chrome: b.chrome, session: attached.SessionID}
		if strings.Contains(frame.text(), text) {
			return true
		}
	}
	return false
}
