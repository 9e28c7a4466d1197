package systems_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// answers reads one answer after the other from a connection.
type answers struct{ in *bufio.Reader }

func newAnswers(conn net.Conn) answers { return answers{bufio.NewReader(conn)} }

func (a answers) next(t *testing.T) (status int, body string) {
	t.Helper()
	answer, err := http.ReadResponse(a.in, nil)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text)
}
