package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/posthorn/posthorn/test/pgtest"
)

func TestCommand_RunOnPostgres(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	defer interrupt()

	database := pgtest.URL(t)
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-addr", "127.0.0.1:0", "-postgres", database, "-namespace", "mine"}, in, t.Output())
		_ = in.Close()
	}()
	var addr, ui string
	_, err := fmt.Fscanf(out, "ready %s %s\n", &addr, &ui)
	require.NoError(t, err)
	require.Equal(t, "-", ui)

	c, err := client.DialContext(ctx, client.Options{HostPort: addr, Namespace: "mine"})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.DescribeWorkflowExecution(ctx, "none", "")
	require.ErrorContains(t, err, "not found")

	interrupt()
	require.NoError(t, <-ended)
}

func TestCommand_Parse(t *testing.T) {
	t.Parallel()

	o, err := parse([]string{
		"-addr", "127.0.0.1:1", "-ui-addr", "127.0.0.1:2", "-db", "a.db", "-shards", "128", "-retention", "24h", "-log-level", "warn",
		"-search-attribute", "Tenant=Keyword", "-search-attribute", "Webhook=KeywordList",
		"-dynamic-config", "frontend.rps=10", "-dynamic-config", "matching.enableFairness=false", "-dynamic-config", "a=b",
	}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", o.TemporalAddr)
	require.Equal(t, "127.0.0.1:2", o.UIAddr)
	require.Equal(t, "a.db", o.DatabaseFile)
	require.Equal(t, 128, o.HistoryShards)
	require.Equal(t, "default", o.Namespace)
	require.Equal(t, 24*time.Hour, o.Retention)
	require.Equal(t, slog.LevelWarn, o.LogLevel.Level())
	require.Equal(t, map[string]enumspb.IndexedValueType{
		"Tenant":  enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"Webhook": enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST,
	}, o.SearchAttributes)
	require.Equal(t, map[string]any{"frontend.rps": 10, "matching.enableFairness": false, "a": "b"}, o.DynamicConfig)
}

func TestCommand_ParseRefuses(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-no-such-flag"}, "not defined"},
		{[]string{"start"}, `unexpected argument "start"`},
		{[]string{"-search-attribute", "Tenant"}, "want Name=Type"},
		{[]string{"-search-attribute", "Tenant=Word"}, "want Name=Type"},
		{[]string{"-search-attribute", "=Keyword"}, "want Name=Type"},
		{[]string{"-dynamic-config", "frontend.rps"}, "want name=value"},
	} {
		_, err := parse(tt.args, io.Discard)
		require.ErrorContains(t, err, tt.want, "%q", tt.args)
	}
}

func TestCommand_Help(t *testing.T) {
	t.Parallel()
	_, err := parse([]string{"-help"}, io.Discard)
	require.ErrorIs(t, err, flag.ErrHelp)

	var usage bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-help"}, io.Discard, &usage))
	require.Contains(t, usage.String(), "-postgres URL")
}
