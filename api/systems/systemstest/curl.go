package systemstest

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"
)

// Curl makes the request that a curl command would make, with the command as a document prints it. Of the command
// the pairs of texts in replace are replaced first: hosts and keys. Understood are -X, -H, -u, -d, --data-raw and
// --data-urlencode.
func (b *Bench) Curl(command string, replace ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	words := shellWords(strings.NewReplacer(replace...).Replace(command))
	require.Equal(b.t, "curl", words[0])
	method, target, data := "", "", []string{}
	header := http.Header{}
	for i := 1; i < len(words); i++ {
		option := words[i]
		if !strings.HasPrefix(option, "-") {
			target = option
			continue
		}
		i++
		switch value := words[i]; option {
		case "-X":
			method = value
		case "-H":
			name, content, _ := strings.Cut(value, ":")
			header.Set(name, strings.TrimSpace(content))
		case "-u":
			header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(value)))
		case "-d", "--data-raw":
			data = append(data, value)
		case "--data-urlencode": // name=content: the content is encoded, the name is not
			name, content, _ := strings.Cut(value, "=")
			data = append(data, name+"="+url.QueryEscape(content))
		default:
			require.Fail(b.t, "option not understood", option)
		}
	}
	if len(data) > 0 && method == "" {
		method = http.MethodPost
	}
	r := httptest.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(strings.Join(data, "&")))
	if len(data) > 0 {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name := range header {
		r.Header.Set(name, header.Get(name))
	}
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, r)
	return w
}

// shellWords splits a command as a shell does: quotes of both kinds, and a backslash that joins lines.
func shellWords(command string) []string {
	var words []string
	var word strings.Builder
	var quote rune
	begun := false
	for _, c := range strings.ReplaceAll(command, "\\\n", " ") {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun = c, true
		case quote == 0 && strings.ContainsRune(" \t\n", c):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}
