package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// The answer to a mistake on the command line names the mistake and the place of the help, and does not print the help.
func TestUsage_ErrorsComeFirst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args       []string
		want, help string
	}{
		{[]string{"serve", "--nonsense"}, "unknown flag --nonsense", `"posthorn serve --help"`},
		{[]string{"serve", "--timeout=soon"}, "--timeout", `"posthorn serve --help"`},
		{[]string{"worker", "--group-max=0"}, "POSTHORN_GROUP_MAX must be 1 to 256", `"posthorn worker --help"`},
		{[]string{"keyset", "turn"}, "turn", `"posthorn keyset --help"`},
		{nil, "expected one of", `"posthorn --help"`},
	} {
		parser := newParser(nil, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) { t.Error("exit") }))
		_, err := parser.Parse(tt.args)
		require.Error(t, err, tt.args)
		var out bytes.Buffer
		require.NotZero(t, usageError(&out, err))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 2, out.String())
		require.Contains(t, lines[0], "posthorn: ")
		require.Contains(t, lines[0], tt.want)
		require.Contains(t, lines[1], tt.help)
	}
}

func TestUsage_HelpSaysWhatIsRequired(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"serve", "api", "worker"} {
		var out bytes.Buffer
		parser := newParser(nil, kong.Writers(&out, io.Discard), kong.Exit(func(int) {}))
		_, _ = parser.Parse([]string{command, "--help"})
		text := strings.Join(strings.Fields(out.String()), " ")
		require.Contains(t, text, "Required: --database-url (POSTHORN_DATABASE_URL) and --encryption-keyset (POSTHORN_ENCRYPTION_KEYSET).")
		require.Equal(t, 2, strings.Count(text, "Required, except in dev"))
		require.Contains(t, text, "TEMPORAL_ADDRESS (default localhost:7233)")
	}
}

func TestUsage_TemporalAddress(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"localhost:7233", "[::1]:7233", "ns.acct.tmprl.cloud:7233", "dns:///temporal:7233", "passthrough:///temporal:7233"} {
		require.NoError(t, checkTemporalAddress(good))
	}
	for _, bad := range []string{"temporal", ":7233", "http://temporal:7233", "temporal:port", "temporal:0", "temporal:70000", "a:b:c", "::1"} {
		require.ErrorContains(t, checkTemporalAddress(bad), "TEMPORAL_ADDRESS is", bad)
	}
}

// All missing required settings of a process are named at once, with the place of their documentation.
func TestUsage_WhatIsRequiredIsNamed(t *testing.T) {
	t.Parallel()
	for command, run := range map[string]func(context.Context, Environment) error{
		"serve": new(ServeCommand).Run, "api": new(APICommand).Run, "worker": new(WorkerCommand).Run,
	} {
		err := run(t.Context(), Environment{Out: io.Discard})
		for _, want := range []string{"POSTHORN_DATABASE_URL must be set", "POSTHORN_ENCRYPTION_KEYSET must be set", `"posthorn ` + command + ` --help"`, "posthorn keyset new"} {
			require.ErrorContains(t, err, want)
		}
	}
}

func TestUsage_ATakenPortNamesItsFlag(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	command := &ListenCommand{Addr: taken.Addr().String()}
	err = command.Run(t.Context(), Environment{Out: io.Discard})
	require.ErrorContains(t, err, "--addr: ")
	require.ErrorContains(t, err, taken.Addr().String())
	require.ErrorContains(t, err, "choose another address")
}
