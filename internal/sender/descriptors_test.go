//go:build linux

package sender

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const childURL = "POSTHORN_TEST_RECEIVER" // set in a process that will run out of file descriptors

// A process without a free file descriptor charges no receiver for that, whether it lacks one for a connection or for a
// look-up. The test runs in its own process, as other tests need their descriptors.
func TestDescriptors_AProcessWithoutFileDescriptors(t *testing.T) {
	t.Parallel()
	if url := os.Getenv(childURL); url != "" {
		outOfDescriptors(t, url)
		return
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDescriptors_AProcessWithoutFileDescriptors$", "-test.v")
	child.Env = append(os.Environ(), childURL+"="+server.URL)
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestDescriptors_AProcessWithoutFileDescriptors")
}

func outOfDescriptors(t *testing.T, url string) {
	t.Helper()
	client := newTestClient(t, Config{})
	require.Equal(t, Received, client.Post(t.Context(), Request{URL: url, Timeout: long}).Outcome)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}))
	var taken []*os.File
	for {
		file, err := os.Open(os.DevNull)
		if err != nil {
			require.ErrorIs(t, err, syscall.EMFILE)
			break
		}
		taken = append(taken, file)
	}
	for _, target := range []string{url, "https://receiver.example/"} {
		result := client.Post(t.Context(), Request{URL: target, Timeout: long})
		require.Equal(t, Local, result.Outcome, "%s: %s", target, result.Error)
		require.Equal(t, ReasonFileDescriptors, result.Reason, target)
		require.Equal(t, localText, result.Error)
	}
	for _, file := range taken {
		require.NoError(t, file.Close())
	}
	require.Equal(t, Received, client.Post(t.Context(), Request{URL: url, Timeout: long}).Outcome)
}
