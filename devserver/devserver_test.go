package devserver_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/devserver"
	"github.com/posthorn/posthorn/test/pgtest"
)

const (
	taskQueue = "greetings"

	// envServer holds the options of a server that this test binary runs instead of tests, to be killed by one.
	envServer = "DEVSERVER_OPTIONS"

	// settle limits the wait for changes that come soon but not at once.
	settle = 30 * time.Second
)

var (
	tenant   = temporal.NewSearchAttributeKeyKeyword("Tenant")
	webhooks = temporal.NewSearchAttributeKeyKeywordList("Webhooks")

	attributes = map[string]enumspb.IndexedValueType{
		"Tenant":   enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"Webhooks": enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST,
	}
)

// Greet greets at once, or with wait after the signal "go".
func Greet(ctx workflow.Context, name string, wait bool) (string, error) {
	if wait {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	}
	return "Hello " + name, nil
}

func TestMain(m *testing.M) {
	if encoded := os.Getenv(envServer); encoded != "" {
		if err := serve(encoded); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// serve runs a server until the process is killed.
func serve(encoded string) error {
	var o devserver.Options
	if err := json.Unmarshal([]byte(encoded), &o); err != nil {
		return err
	}
	s, err := devserver.Start(context.Background(), o)
	if err != nil {
		return err
	}
	fmt.Println(s.FrontendAddr())
	select {}
}

func TestDevServer_InMemory(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)

	s, err := devserver.Start(ctx, devserver.Options{UIAddr: "127.0.0.1:0", UIHosts: []string{"https://ui.example.com"}, SearchAttributes: attributes})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	c := connect(t, s.FrontendAddr())
	runWorker(t, c)

	t.Run("takes a workflow at once", func(t *testing.T) {
		run := start(ctx, t, c, "first", false, tenant.ValueSet("acme"), webhooks.ValueSet([]string{"wh_1", "wh_2"}))
		var greeting string
		require.NoError(t, run.Get(ctx, &greeting))
		require.Equal(t, "Hello first", greeting)
	})

	t.Run("finds it by its attributes", func(t *testing.T) {
		for _, query := range []string{
			`Tenant = 'acme'`,
			`Tenant STARTS_WITH 'ac'`,
			`Webhooks = 'wh_2' AND ExecutionStatus = 'Completed'`,
		} {
			awaitListed(ctx, t, c, query, "first")
		}
		count, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: `Tenant = 'other'`})
		require.NoError(t, err)
		require.Zero(t, count.GetCount())
	})

	t.Run("answers a start with the first task", func(t *testing.T) {
		started, err := c.WorkflowService().StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{
			Namespace:             "default",
			WorkflowId:            "eager",
			WorkflowType:          &commonpb.WorkflowType{Name: "Greet"},
			TaskQueue:             &taskqueuepb.TaskQueue{Name: "nobody"},
			RequestId:             "eager",
			RequestEagerExecution: true,
		})
		require.NoError(t, err)
		require.NotNil(t, started.GetEagerWorkflowTask())
	})

	t.Run("keeps closed workflows for two weeks", func(t *testing.T) {
		require.Equal(t, 14*24*time.Hour, retention(ctx, t, c))
	})

	t.Run("serves the Web UI", func(t *testing.T) {
		require.Contains(t, get(ctx, t, s.UIURL()+"/namespaces/default/workflows"), "<!doctype html>")

		var settings struct {
			DefaultNamespace                     string
			DisableNewsFetch, NotifyOnNewVersion bool
			Codec                                struct{ Endpoint string }
		}
		require.NoError(t, json.Unmarshal([]byte(get(ctx, t, s.UIURL()+"/api/v1/settings")), &settings))
		require.Equal(t, "default", settings.DefaultNamespace)
		require.True(t, settings.DisableNewsFetch)
		require.False(t, settings.NotifyOnNewVersion)
		require.Empty(t, settings.Codec.Endpoint)

		require.Contains(t, get(ctx, t, s.UIURL()+"/api/v1/namespaces/default/workflows?query="+`Tenant%3D%22acme%22`), `"first"`,
			"the page lists what the server has")
	})

	t.Run("refuses foreign host names", func(t *testing.T) {
		for host, want := range map[string]int{"evil.example": http.StatusForbidden, "evil.example:8233": http.StatusForbidden,
			"localhost:8233": http.StatusOK, "127.0.0.1": http.StatusOK, "ui.example.com": http.StatusOK} {
			for _, path := range []string{"/", "/api/v1/settings", "/api/v1/namespaces", "/healthz", "/_app/version.json"} {
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.UIURL()+path, http.NoBody)
				require.NoError(t, err)
				request.Host = host
				response, err := http.DefaultClient.Do(request)
				require.NoError(t, err)
				_ = response.Body.Close()
				require.Equal(t, want, response.StatusCode, "%s %s", host, path)
			}
		}
	})

	t.Run("stops", func(t *testing.T) {
		s.Stop()
		s.Stop() // does nothing
		for _, addr := range []string{s.FrontendAddr(), strings.TrimPrefix(s.UIURL(), "http://")} {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				_ = conn.Close()
			}
			require.Error(t, err, "%s still listens", addr)
		}
	})
}

func TestDevServer_ServersInOneProcessAreApart(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)

	var clients [2]client.Client
	for i := range clients {
		s, err := devserver.Start(ctx, devserver.Options{})
		require.NoError(t, err)
		t.Cleanup(s.Stop)
		require.Empty(t, s.UIURL(), "none was asked for")
		clients[i] = connect(t, s.FrontendAddr())
	}
	start(ctx, t, clients[0], "mine", true)
	_, err := clients[1].DescribeWorkflowExecution(ctx, "mine", "")
	require.ErrorContains(t, err, "not found")
}

// TestDevServer_SurvivesKill kills servers with SIGKILL, on both stores that outlive them.
func TestDevServer_SurvivesKill(t *testing.T) {
	t.Parallel()

	for _, store := range []struct {
		name string
		set  func(*testing.T, *devserver.Options)
	}{
		{"SQLite", func(t *testing.T, o *devserver.Options) {
			t.Helper()
			o.DatabaseFile = filepath.Join(t.TempDir(), "100% of #1?.db") // all characters that a URI would change
		}},
		{"Postgres", func(t *testing.T, o *devserver.Options) {
			t.Helper()
			o.PostgresURL = pgtest.URL(t)
		}},
	} {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			ctx := bounded(t)
			options := devserver.Options{Retention: 48 * time.Hour, SearchAttributes: attributes}
			store.set(t, &options)

			first := run(t, options)
			c := connect(t, first.addr)
			stopWorker := runWorker(t, c)
			require.Equal(t, options.Retention, retention(ctx, t, c))
			require.NoError(t, start(ctx, t, c, "closed", false, tenant.ValueSet("acme")).Get(ctx, nil))
			start(ctx, t, c, "open", true, tenant.ValueSet("acme"))
			_, err := c.QueryWorkflow(ctx, "open", "", client.QueryTypeStackTrace)
			require.NoError(t, err, "it has got as far as its wait, so that no task is lost with the worker")
			stopWorker()
			first.kill(t)

			options.Retention = 72 * time.Hour
			options.SearchAttributes = map[string]enumspb.IndexedValueType{
				"Tenant": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
				"Phase":  enumspb.INDEXED_VALUE_TYPE_KEYWORD, // new
			}
			second := run(t, options)
			c = connect(t, second.addr)
			runWorker(t, c)

			var greeting string
			require.NoError(t, c.GetWorkflow(ctx, "closed", "").Get(ctx, &greeting))
			require.Equal(t, "Hello closed", greeting, "what was done is still known")

			require.NoError(t, c.SignalWorkflow(ctx, "open", "", "go", nil))
			require.NoError(t, c.GetWorkflow(ctx, "open", "").Get(ctx, &greeting))
			require.Equal(t, "Hello open", greeting, "what was not done goes on")
			awaitListed(ctx, t, c, `Tenant = 'acme' AND ExecutionStatus = 'Completed'`, "closed", "open")

			require.Equal(t, options.Retention, retention(ctx, t, c))
			phase := temporal.NewSearchAttributeKeyKeyword("Phase")
			require.NoError(t, start(ctx, t, c, "new", false, phase.ValueSet("fresh"), webhooks.ValueSet([]string{"wh_3"})).Get(ctx, nil))
			awaitListed(ctx, t, c, `Phase = 'fresh' AND Webhooks = 'wh_3'`, "new")
		})
	}
}

func TestDevServer_StartRefuses(t *testing.T) {
	t.Parallel()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	require.NoError(t, os.WriteFile(foreign, []byte("not a database, but long enough to look at"), 0o600))
	keyword, list := enumspb.INDEXED_VALUE_TYPE_KEYWORD, enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST

	for _, tt := range []struct {
		name    string
		options devserver.Options
		want    string
	}{
		{"a taken address", devserver.Options{TemporalAddr: taken.Addr().String()}, "address already in use"},
		{"a taken address for the UI", devserver.Options{UIAddr: taken.Addr().String()}, "address already in use"},
		{"one address for both", devserver.Options{TemporalAddr: "127.0.0.1:1", UIAddr: "127.0.0.1:1"}, "address"},
		{"a directory that is not there", devserver.Options{DatabaseFile: filepath.Join(foreign, "a.db")}, "unable to open database file"},
		{"a file of something else", devserver.Options{DatabaseFile: foreign}, "not a database"},
		{"two stores", devserver.Options{DatabaseFile: "a.db", PostgresURL: "postgres://h/d"}, "not in both"},
		{"a Postgres that is not there", devserver.Options{PostgresURL: "postgres://127.0.0.1:1/d"}, "connection refused"},
		{"a Postgres socket", devserver.Options{PostgresURL: "postgres:///d?host=/run"}, "Unix sockets"},
		{"a retention below Temporal's minimum", devserver.Options{Retention: time.Minute}, "at least an hour"},
		{"a negative number of shards", devserver.Options{HistoryShards: -1}, "must be positive"},
		{"an unknown setting", devserver.Options{DynamicConfig: map[string]any{"matching.enableFairnes": true}}, "unregistered key"},
		{"a setting of the wrong type", devserver.Options{DynamicConfig: map[string]any{"frontend.rps": "many"}}, "frontend.rps"},
		{"a fourth list of keywords", devserver.Options{SearchAttributes: map[string]enumspb.IndexedValueType{
			"A": list, "B": list, "C": list, "D": list, "E": keyword,
		}}, "search attribute D: no column of type KeywordList is left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := devserver.Start(bounded(t), tt.options)
			if err == nil {
				s.Stop()
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestDevServer_StartRefusesWhatWouldSpoilAStore(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	file := filepath.Join(t.TempDir(), "temporal.db")
	options := devserver.Options{DatabaseFile: file, SearchAttributes: attributes}
	s, err := devserver.Start(ctx, options)
	require.NoError(t, err)
	s.Stop()

	options.SearchAttributes = map[string]enumspb.IndexedValueType{"Tenant": enumspb.INDEXED_VALUE_TYPE_INT}
	_, err = devserver.Start(ctx, options)
	require.ErrorContains(t, err, "search attribute Tenant: is a Keyword already")

	execute(t, file, `PRAGMA user_version = 1`)
	_, err = devserver.Start(ctx, options)
	require.ErrorContains(t, err, "made by another version of Temporal")
}

// process is a server in a separate process.
type process struct {
	addr string
	cmd  *exec.Cmd
}

// run starts a server as a process and waits until it is ready.
func run(t *testing.T, o devserver.Options) *process {
	t.Helper()
	encoded, err := json.Marshal(o)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envServer+"="+string(encoded))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error if it has been killed
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "the server ended")
	require.NotContains(t, lines.Text(), "error")
	return &process{addr: lines.Text(), cmd: cmd}
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.cmd.Wait())
}

// bounded returns t's context with a deadline, so that a server that never gets ready fails the test that waits for it.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, addr string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: addr, Logger: silence{}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func runWorker(t *testing.T, c client.Client) (stop func()) {
	t.Helper()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(Greet)
	require.NoError(t, w.Start())
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			w.Stop()
		}
	}
	t.Cleanup(stop)
	return stop
}

func start(ctx context.Context, t *testing.T, c client.Client, id string, wait bool, set ...temporal.SearchAttributeUpdate) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                    id,
		TaskQueue:             taskQueue,
		TypedSearchAttributes: temporal.NewSearchAttributes(set...),
	}, Greet, id, wait)
	require.NoError(t, err)
	return run
}

// awaitListed waits until a query finds exactly the given workflows. The list is a moment late.
func awaitListed(ctx context.Context, t *testing.T, c client.Client, query string, want ...string) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assertion) {
		found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		require.NoError(t, err, query)
		var got []string
		for _, e := range found.GetExecutions() {
			got = append(got, e.GetExecution().GetWorkflowId())
		}
		require.ElementsMatch(t, want, got, query)
	}, settle, 20*time.Millisecond)
}

func retention(ctx context.Context, t *testing.T, c client.Client) time.Duration {
	t.Helper()
	namespace, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	return namespace.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
}

func get(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	return string(body)
}
