package sender

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// logged has the output of package log in these tests, with the lines that Quiet leaves out.
var logged lockedBuffer

func TestMain(m *testing.M) {
	log.SetOutput(Quiet(&logged))
	os.Exit(m.Run())
}

// Unrequested data of a receiver are in no log, and other lines are.
func TestLogs_ReceiversDoNotWriteLogs(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	url := rawReceiver(t, func(_ int, conn *net.TCPConn) {
		defer close(ended)
		reader := bufio.NewReader(conn)
		if r, err := http.ReadRequest(reader); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(conn, ok+"Content-Length: 0\r\n\r\n"+ok+"X-A: told-to-nobody\r\n\r\n")
			_, _ = io.Copy(io.Discard, reader)
		}
	})
	require.Equal(t, Received, newTestClient(t, Config{}).Post(t.Context(), Request{URL: url, Body: []byte("{}"), Timeout: long}).Outcome)
	<-ended // the transport has closed the connection, after it had its say
	log.Print("something else")
	require.NotContains(t, logged.String(), "told-to-nobody")
	require.Contains(t, logged.String(), "something else")

	var out bytes.Buffer
	logger := log.New(Quiet(&out), "prefix: ", log.LstdFlags)
	logger.Print("http2: Transport received unexpected frame")
	logger.Print("kept")
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	require.Contains(t, out.String(), "kept")
}
