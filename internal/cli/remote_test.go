package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/client"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// posthorn runs a command line.
func posthorn(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	parser := newParser(nil, kong.Vars{"version": "test"}, kong.BindTo(t.Context(), (*context.Context)(nil)), kong.Bind(Environment{Out: &out}),
		kong.Writers(&out, io.Discard), kong.Exit(func(int) { t.Error("exit") }))
	parsed, err := parser.Parse(args)
	if err == nil {
		err = parsed.Run()
	}
	return out.String(), err
}

// shell is a terminal with the variables set.
type shell struct {
	t    *testing.T
	args []string
}

func (s shell) run(args ...string) string {
	s.t.Helper()
	out, err := posthorn(s.t, append(args, s.args...)...)
	require.NoError(s.t, err, args)
	return out
}

func (s shell) fails(code int, args ...string) string {
	s.t.Helper()
	_, err := posthorn(s.t, append(args, s.args...)...)
	require.Error(s.t, err, args)
	require.Equal(s.t, code, exitCode(err), "%v: %v", args, err)
	require.NotContains(s.t, err.Error(), "\n", "one sentence")
	return err.Error()
}

// json runs a command with -o json.
func (s shell) json(args ...string) map[string]any {
	s.t.Helper()
	var v map[string]any
	out := s.run(append(args, "-o", "json")...)
	require.NoError(s.t, json.Unmarshal([]byte(out), &v), out)
	return v
}

func shells(t *testing.T) (env *servicetest.Env, tenant, admin shell) {
	t.Helper()
	env, url, key := installed(t)
	return env, shell{t, []string{"--url=" + url, "--key=" + key}}, shell{t, []string{"--url=" + url + "/", "--key=" + servicetest.AdminKey}}
}

func TestCommands_AWorkingDayByCommands(t *testing.T) {
	t.Parallel()
	env, tenant, admin := shells(t)
	require.Contains(t, admin.run("tenants", "put", "acme", "--name=Acme Ltd", "--admin-email=ops@acme.example", "--metadata=plan=gold"), "plan=gold")
	require.Contains(t, admin.run("tenants", "list"), "acme  Acme Ltd  ops@acme.example")
	require.Equal(t, "acme", admin.json("tenants", "get", "acme")["id"])
	updated := admin.json("tenants", "update", "acme", "--uid=crm-4711", "--max-webhooks=500", "--max-keys=7")
	require.Equal(t, []any{"crm-4711", "Acme Ltd", map[string]any{"plan": "gold"}}, []any{updated["uid"], updated["name"], updated["metadata"]})
	require.Equal(t, []any{500.0, 7.0}, []any{updated["limits"].(map[string]any)["webhooks"], updated["limits"].(map[string]any)["keys"]})
	updated = admin.json("tenants", "update", "crm-4711", "--uid=", "--max-webhooks=default", "--name=Acme", "--admin-email=dev@acme.example", "--metadata=plan=free")
	require.Equal(t, []any{nil, "Acme", []any{"dev@acme.example"}, map[string]any{"plan": "free"}},
		[]any{updated["uid"], updated["name"], updated["admin_emails"], updated["metadata"]})
	require.Equal(t, []any{nil, 7.0}, []any{updated["limits"].(map[string]any)["webhooks"], updated["limits"].(map[string]any)["keys"]})
	require.Contains(t, admin.fails(80, "tenants", "update", "acme", "--max-keys=few"), "must be a whole number, or default")
	require.Contains(t, admin.fails(1, "tenants", "delete", "acme"), "--yes")
	require.Contains(t, admin.run("tenants", "delete", "acme", "--yes"), "the tenant acme was deleted")

	file := filepath.Join(t.TempDir(), "schema.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"type":"object"}`), 0o600))
	require.Contains(t, admin.run("event-types", "put", "user.created", "--schema=@"+file, "--description=A user."), `"type": "object"`)
	require.Contains(t, tenant.run("event-types", "list"), "user.created")
	require.Contains(t, tenant.run("event-types", "get", "user.created"), "A user.")
	exported := admin.run("event-types", "export")
	require.Contains(t, admin.run("event-types", "delete", "user.created"), "was deleted")
	imported := admin.json("event-types", "import", exported, "--replace")
	require.Equal(t, []any{"user.created"}, imported["created"])
	require.Contains(t, admin.run("event-types", "import", exported, "--dry-run"), "--dry-run")

	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(receiver.Close)
	made := tenant.json("webhooks", "create", receiver.URL, "--event-type=order.*", "--event-type=order.created", "--name=Shop", "--header=X-A=b,c", "--timeout=3s")
	id, _ := made["id"].(string)
	require.Equal(t, []any{"order.*", "order.created"}, made["event_types"])
	require.Equal(t, "3s", made["timeout"])
	require.NotEmpty(t, made["secret"])
	require.Contains(t, tenant.run("webhooks", "list", "--status=active", "--to="+receiver.URL), id+"  Shop")
	require.Contains(t, tenant.run("webhooks", "list", "--status=paused"), "nothing")
	require.Contains(t, tenant.run("webhooks", "get", id), receiver.URL)

	labelled := tenant.json("webhooks", "create", receiver.URL, "--event-type=user.created", "--uid=second", "--channel=shop-1", "--channel=shop-2", "--metadata=owner=billing")
	require.Equal(t, []any{"second", []any{"shop-1", "shop-2"}, map[string]any{"owner": "billing"}}, []any{labelled["uid"], labelled["channels"], labelled["metadata"]})
	shownHook := tenant.run("webhooks", "get", "second")
	for _, want := range []string{labelled["id"].(string), "second", "shop-1, shop-2", "owner=billing"} {
		require.Contains(t, shownHook, want)
	}

	const data = `{"n": 12345678901234567890, "text": "<&>"}`
	sent := tenant.json("events", "send", "order.created", data, "--id=order-1", "--attribute=a=b", "--idempotency-key=k")
	require.Equal(t, "order-1", sent["id"])
	event, err := env.Store.Event(t.Context(), "demo", "order-1")
	require.NoError(t, err)
	require.Equal(t, data, string(event.Data), "byte for byte") //nolint:testifylint // JSONEq would not see that.
	require.Contains(t, tenant.run("events", "list", "--since=1h", "--type=order.created"), "order-1")
	require.Contains(t, tenant.run("events", "list", "--until=1h"), "nothing")
	shown := tenant.run("events", "get", "order-1")
	require.Contains(t, shown, "12345678901234567890")
	delivery := env.Deliveries("demo", "order-1")[0].ID
	require.Contains(t, shown, delivery)

	env.Engine.SetCrowded(true)
	later, err := env.Service.Publish(t.Context(), "demo", service.PublishRequest{Batch: true,
		Events: slices.Repeat([]service.EventInput{{Type: "order.created", Data: []byte(`{}`)}}, 100)})
	require.NoError(t, err)
	env.Engine.SetCrowded(false)
	following := tenant.run("events", "get", later[0].ID)
	require.Contains(t, following, "Not all its deliveries exist yet.")
	require.NotContains(t, following, "no webhook")

	require.Contains(t, tenant.run("deliveries", "list", "--event=order-1", "--webhook="+id, "--status=pending"), delivery)
	env.Attempt("demo", delivery)
	timeline := tenant.run("deliveries", "get", delivery)
	require.Contains(t, timeline, "✗ attempt 1: 418 I'm a teapot")
	require.Contains(t, timeline, "○ attempt 2")
	require.Contains(t, tenant.run("deliveries", "cancel", delivery), "canceled")
	require.Contains(t, tenant.run("deliveries", "retry", delivery), "pending")

	require.Contains(t, tenant.run("webhooks", "pause", id), "paused")
	require.Contains(t, tenant.run("webhooks", "resume", id), "active")
	require.Contains(t, tenant.run("webhooks", "disable", id, "--reason=moves"), "moves")
	require.Contains(t, tenant.run("webhooks", "enable", id), "active")
	require.Equal(t, "1 of 1 tests were not received", tenant.fails(1, "webhooks", "test", id, "--event-type=order.created"))
	recovery := tenant.json("webhooks", "recover", id, "--since=24h", "--status=held", "--rate=5")
	require.Equal(t, []any{"held"}, recovery["statuses"])
	require.InDelta(t, 5, recovery["rate"], 0)
	require.Contains(t, tenant.run("webhooks", "delete", id), "was deleted")
	require.Contains(t, tenant.run("webhooks", "delete", "second"), "was deleted")
	require.Empty(t, webhooksOf(t, env))
}

// Events are found by each of their labels, and by values in their data.
func TestCommands_EventsAreFound(t *testing.T) {
	t.Parallel()
	_, tenant, _ := shells(t)
	tenant.run("events", "send", "order.created", `{"order":"needle"}`, "--id=found", "--channel=shop-1", "--tag=import", "--tag=night, late", "--external-id=A.1",
		"--attribute=customer=a=b", "--idempotency-key=k1")
	tenant.run("events", "send", "order.created", `{"order":"hay"}`, "--id=other", "--channel=shop-2", "--tag=export", "--external-id=A.2", "--attribute=customer=c",
		"--idempotency-key=k2")
	for _, filter := range []string{"--channel=shop-1", "--tag=import", "--tag=night, late", "--external-id=A.1", "--attribute=customer=a=b", "--idempotency-key=k1", "--text=needle"} {
		answer := tenant.json("events", "list", filter)
		require.Len(t, answer["data"], 1, filter)
		require.Equal(t, "found", answer["data"].([]any)[0].(map[string]any)["id"], filter)
		require.Equal(t, true, answer["complete"])
	}
	require.Contains(t, tenant.run("events", "list", "-q", "needle", "--until=1h"), "nothing")
	require.Contains(t, tenant.run("events", "list"), "shop-1")
	require.Contains(t, tenant.run("events", "get", "found"), "import, night, late")
	require.Contains(t, tenant.fails(1, "events", "list", "--attribute=customer"), "--attribute: must be NAME=VALUE")
	require.Contains(t, tenant.fails(exitInvalid, "events", "list", "--text=x", "--since=48h"), "422: ")
}

func TestCommands_EventsAreReplayed(t *testing.T) {
	t.Parallel()
	env, tenant, _ := shells(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(receiver.Close)
	tenant.run("events", "send", "order.created", "--id=replayed")
	require.Contains(t, tenant.run("events", "replay", "replayed"), "It matches no webhook.")
	first := tenant.json("webhooks", "create", receiver.URL, "--uid=first")["id"].(string)
	second := tenant.json("webhooks", "create", receiver.URL, "--uid=second")["id"].(string)
	one := tenant.run("events", "replay", "replayed", "--webhook=first")
	require.Contains(t, one, first)
	require.NotContains(t, one, second)
	all := tenant.json("events", "replay", "replayed")
	require.Len(t, env.Deliveries("demo", "replayed"), 2)
	require.NotEmpty(t, all["deliveries"])
	require.Contains(t, tenant.fails(exitNotFound, "events", "replay", "no-such-event"), "404: ")

	for i := range 101 {
		env.Webhook("demo", fmt.Sprintf("%s/%d", receiver.URL, i))
	}
	require.Regexp(t, `The recovery rec_\S+ sends it`, tenant.run("events", "replay", "replayed"))
}

func TestCommands_RecoveriesAreStartedAndFollowed(t *testing.T) {
	t.Parallel()
	_, tenant, _ := shells(t)
	tenant.run("events", "send", "order.created")
	id := tenant.json("webhooks", "create", "http://127.0.0.1:1/", "--uid=late")["id"].(string)
	missed := tenant.json("webhooks", "recover", "late", "--missed", "--since=1h", "--event-type=order.*", "--event-type=order.created")
	require.Equal(t, []any{true, []any{}, []any{"order.*", "order.created"}}, []any{missed["missed"], missed["statuses"], missed["event_types"]})
	recovery := missed["id"].(string)
	require.Contains(t, tenant.run("recoveries", "get", recovery), "order.*, order.created")
	listed := tenant.run("recoveries", "list", "--webhook=late")
	require.Contains(t, listed, recovery)
	require.Contains(t, listed, id)
	require.Contains(t, tenant.run("recoveries", "cancel", recovery), "canceled")
	again := tenant.json("webhooks", "recover", "late", "--status=delivered", "--status=canceled")
	require.Equal(t, []any{"delivered", "canceled"}, again["statuses"])
	require.Contains(t, tenant.fails(80, "webhooks", "recover", "late", "--status=pending"), "--status")
	require.Contains(t, tenant.fails(exitNotFound, "recoveries", "get", "rec_none"), "404: ")
}

func TestCommands_StatsAreShown(t *testing.T) {
	t.Parallel()
	env, tenant, admin := shells(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(receiver.Close)
	hook := tenant.json("webhooks", "create", receiver.URL, "--uid=counted")["id"].(string)
	env.Attempt("demo", env.Deliveries("demo", env.Publish("demo", "order.created", `{}`))[0].ID)
	table := tenant.run("stats", "--since=1h", "--bucket=minute", "--webhook="+hook)
	require.Regexp(t, `FROM +EVENTS +DELIVERED +FAILED +HELD +ATTEMPTS +FAILED ATTEMPTS +P50 +P95 +P99\n`, table)
	require.Regexp(t, `\nall +1 +1 +0 +0 +1 +0 +[0-9.]+m?s `, table)
	require.LessOrEqual(t, strings.Count(table, "\n"), 4, "lines for the minutes in which something happened only")
	require.InDelta(t, 1, tenant.json("stats", "--event-type=order.created")["totals"].(map[string]any)["events"], 0)
	require.InDelta(t, 1, admin.json("stats", "--all")["totals"].(map[string]any)["delivered"], 0)
	require.Contains(t, tenant.fails(exitNotAllowed, "stats", "--all"), "403: ")
	require.Contains(t, tenant.fails(exitInvalid, "stats", "--since=2400h"), "422: ")
}

func TestCommands_SayWhatIsWrongInOneSentence(t *testing.T) {
	t.Parallel()
	_, tenant, _ := shells(t)
	require.Contains(t, tenant.fails(exitInvalid, "events", "send", "order.lost"), `422: the request is not valid; type: "order.lost" is not a known event type`)
	require.Contains(t, tenant.fails(exitNotFound, "deliveries", "get", "dlv_none"), "404: ")
	require.Contains(t, tenant.fails(exitNotAllowed, "tenants", "list"), "403: ")
	require.Contains(t, shell{t, []string{tenant.args[0], "--key=wrong"}}.fails(exitNotAllowed, "webhooks", "list"), "401: ")
	id := tenant.json("webhooks", "create", "http://127.0.0.1:1/")["id"].(string)
	tenant.run("webhooks", "disable", id)
	require.Contains(t, tenant.fails(exitConflict, "webhooks", "pause", id), "409: ")
	require.Contains(t, tenant.fails(1, "events", "send", "order.created", "{"), "DATA: is not JSON")
	require.Contains(t, tenant.fails(1, "events", "send", "order.created", "@/nowhere"), "DATA: ")
	require.Contains(t, tenant.fails(1, "events", "list", "--limit=0"), "--limit")
	require.Contains(t, tenant.fails(80, "events", "list", "--since=soon"), "--since")
	require.Contains(t, tenant.fails(80, "deliveries", "list", "--status=lost"), "--status")
	require.Contains(t, tenant.fails(80, "events", "list", "-o", "yaml"), "--output")

	_, err := posthorn(t, "events", "list")
	require.ErrorContains(t, err, "--key (POSTHORN_KEY) must be set")
	_, err = posthorn(t, "events", "list", "--key=k", "--url=x")
	require.ErrorContains(t, err, "--url (POSTHORN_URL)")
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	_, err = posthorn(t, "events", "list", "--key=k", "--url="+gone.URL)
	require.ErrorContains(t, err, "no Posthorn answers at "+gone.URL)
	require.Equal(t, exitLater, exitCode(err))

	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	err = (&EventsGetCommand{OfTenant: OfTenant{Remote: Remote{URL: gone.URL, Key: "k"}, Tenant: "demo"}, ID: "evt_1"}).Run(interrupted, Environment{Out: io.Discard})
	require.ErrorContains(t, err, "interrupted")
	require.NotErrorIs(t, err, context.Canceled, "which would be no failure")
	require.Equal(t, exitSignal, exitCode(err))
}

// A list takes as many pages as its limit asks for, and says how to go on.
func TestCommands_ListsOfMoreThanAPage(t *testing.T) {
	t.Parallel()
	env, tenant, _ := shells(t)
	names := make([]string, 2*maxPage)
	for i := range names {
		names[i] = fmt.Sprintf("type.n%03d", i)
	}
	env.EventTypes(names...)
	all := tenant.json("event-types", "list", "--limit=1000")
	require.Nil(t, all["next"])
	total := len(all["data"].([]any))
	require.Greater(t, total, 2*maxPage)
	part := tenant.json("event-types", "list", fmt.Sprintf("--limit=%d", maxPage+5))
	require.Len(t, part["data"], maxPage+5)
	rest := tenant.json("event-types", "list", "--limit=1000", "--after="+part["next"].(string))
	require.Len(t, rest["data"], total-maxPage-5)
	require.Contains(t, tenant.run("event-types", "list", "--limit=1"), "more: --after ")
}

// Texts of others cannot control the terminal.
func TestCommands_TablesHaveNoControlCharacters(t *testing.T) {
	t.Parallel()
	p := &printer{}
	p.header("name")
	p.row("a\x1b[31mb\nc\u202e")
	p.fields("field", "x\x07y")
	p.json("data", json.RawMessage(`{"k":"`+"\u009b"+`"}`))
	for _, r := range string(p.Bytes()) {
		require.True(t, r == '\n' || r >= ' ' && r != 0x1b && r != 0x9b && r != 0x202e, "%q", r)
	}
}

func TestCommands_TimelineIsDrawn(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	delivery := client.Timeline{ID: "dlv_1", EventID: "evt_1", EventType: "order.created", WebhookID: "wh_1", Status: "pending", CreatedAt: start, AttemptCount: 3,
		Attempts: []client.Attempt{{Number: 2, StartedAt: at(10), DurationMs: 23, Error: new("503 Service Unavailable")}, {Number: 3, StartedAt: at(30), DurationMs: 15000, Error: new("timeout")}}}
	for i := range 8 {
		delivery.Upcoming = append(delivery.Upcoming, client.Planned{Number: int64(4 + i), At: at(85 << i)})
	}
	p := &printer{}
	drawTimeline(p, &delivery, at(60))
	require.Equal(t, `delivery  dlv_1
event     evt_1
type      order.created
webhook   wh_1
status    pending

  2026-01-02 15:04:05Z  ○ accepted
                        ⋮ 1 earlier attempts
                        │ 10s
  2026-01-02 15:04:15Z  ✗ attempt 2: 503 Service Unavailable, after 23ms
                        │ 20s
  2026-01-02 15:04:35Z  ✗ attempt 3: timeout, after 15s
                        │ 40s
  2026-01-02 15:05:30Z  ○ attempt 4, in 25s
                        │ 1m25s
  2026-01-02 15:06:55Z  ○ attempt 5
                        │ 2m50s
  2026-01-02 15:09:45Z  ○ attempt 6
                        │ 5m40s
  2026-01-02 15:15:25Z  ○ attempt 7
                        │ 11m20s
  2026-01-02 15:26:45Z  ○ attempt 8
                        ⋮ and 3 more; the last, attempt 11, at 2026-01-02 18:05:25Z

Next: attempt 4; retry sends it now.
`, string(p.Bytes()))

	delivery = client.Timeline{ID: "dlv_1", Status: "delivered", CreatedAt: start, AttemptCount: 1,
		Attempts: []client.Attempt{{Number: 1, StartedAt: start, DurationMs: 8, StatusCode: new(int64(204))}}}
	p = &printer{}
	drawTimeline(p, &delivery, at(60))
	require.Contains(t, string(p.Bytes()), "● attempt 1: 204, received, after 8ms\n\nNext: nothing. It was delivered.\n")
}

// Every command that speaks to a running Posthorn has an example in its help, and its examples are command lines that parse.
func TestCommands_HelpHasExamplesThatParse(t *testing.T) {
	t.Parallel()
	parser := newParser(nil, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	leaves := 0
	var walk func(command string, node *kong.Node)
	walk = func(command string, node *kong.Node) {
		for _, child := range node.Children {
			walk(command+" "+child.Name, child)
		}
		if len(node.Children) > 0 {
			return
		}
		leaves++
		require.Contains(t, node.Detail, command, command)
		for line := range strings.Lines(node.Detail) {
			isExample := strings.HasPrefix(line, "  ")
			_, line, found := strings.Cut(line, "posthorn ")
			if !isExample || !found {
				continue
			}
			line, _, _ = strings.Cut(line, " | ")
			line, _, _ = strings.Cut(line, " >")
			words, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s\\n' "+line).Output()
			require.NoError(t, err, line)
			_, err = newParser(nil, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {})).Parse(strings.Split(strings.TrimSpace(string(words)), "\n"))
			require.NoError(t, err, line)
		}
	}
	for _, node := range parser.Model.Children {
		switch node.Name {
		case "events", "webhooks", "deliveries", "recoveries", "stats", "tenants", "event-types", "import":
			walk("posthorn "+node.Name, node)
		}
	}
	require.Equal(t, 34, leaves)
}

func TestCommands_Completion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"ev":                                     "event-types events",
		"events ":                                "get list replay send",
		"recoveries ":                            "cancel get list",
		"stats --bucket ":                        "day hour minute",
		"import ":                                "svix",
		"import svix --fr":                       "--from",
		"webhooks recover wh_1 --status ":        "canceled delivered failed held",
		"deliveries list --status ":              "canceled delivered failed held pending",
		"deliveries list --status f":             "failed",
		"deliveries list -o ":                    "json table",
		"deliveries list --webhook get --sta":    "--status",
		"completion ":                            "bash fish zsh",
		"webhooks create https://shop.example/ ": "",
		"comp":                                   "completion",
	} {
		out, err := posthorn(t, append([]string{"complete", "--"}, strings.Split(line, " ")...)...)
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(strings.Fields(out), " "), line)
	}
	for _, name := range []string{"bash", "zsh", "fish"} {
		script, err := posthorn(t, "completion", name)
		require.NoError(t, err)
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		require.NoError(t, exec.CommandContext(t.Context(), path, "-n", "-c", script).Run(), name)
	}
}
