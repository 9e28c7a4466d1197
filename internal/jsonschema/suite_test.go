package jsonschema

import (
	"archive/zip"
	"encoding/json"
	"io"
	"math"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// suiteCase is a file of the official test suite: schemas, and data with the verdict on them.
type suiteCase struct {
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
	Tests       []struct {
		Description string          `json:"description"`
		Data        json.RawMessage `json:"data"`
		Valid       bool            `json:"valid"`
	} `json:"tests"`
}

var suiteDrafts = map[string]draft{"draft4": 4, "draft6": 6, "draft7": 7, "draft2019-09": 2019, "draft2020-12": 2020}

func readArchive(t *testing.T, name string) map[string][]byte {
	t.Helper()
	archive, err := zip.OpenReader(name)
	require.NoError(t, err)
	defer func() { _ = archive.Close() }()
	files := map[string][]byte{}
	for _, f := range archive.File {
		r, err := f.Open()
		require.NoError(t, err)
		files[f.Name], err = io.ReadAll(r)
		require.NoError(t, err)
		_ = r.Close()
	}
	return files
}

// The verdicts are those of the official test suite, in every draft, including its optional tests and formats. The
// table lists the deliberate differences, which must not change.
func TestSchemaSuite_VerdictsAreTheOfficialOnes(t *testing.T) {
	t.Parallel()
	files := readArchive(t, "testdata/suite.zip")
	used, judged := map[string]bool{}, 0
	for name, raw := range files {
		parts := strings.Split(name, "/")
		d, ok := suiteDrafts[parts[min(1, len(parts)-1)]]
		if parts[0] != "tests" || !ok {
			continue
		}
		var cases []suiteCase
		require.NoError(t, json.Unmarshal(raw, &cases), name)
		for _, c := range cases {
			schema, err := suiteSchema(files, d, c.Schema, strings.Contains(name, "optional/format/"))
			for _, test := range c.Tests {
				id := strings.TrimSuffix(path.Join(parts[1:]...), ".json") + ": " + c.Description + ": " + test.Description
				verdict := "refused"
				if err == nil {
					verdict = verdictOf(t, schema, test.Data)
				}
				judged++
				want := map[bool]string{true: "valid", false: "invalid"}[test.Valid]
				if verdict == want {
					continue
				}
				if entry, known := difference(id); known {
					used[entry] = true
				} else {
					t.Errorf("%s: %s, want %s (%v)", id, verdict, want, err)
				}
			}
		}
	}
	require.Greater(t, judged, 6000)
	for entry := range differences {
		require.True(t, used[entry], "nothing differs any more: %s", entry)
	}
}

func suiteSchema(files map[string][]byte, d draft, schema []byte, formats bool) (*Schema, error) {
	c := newCompiler()
	c.fallback, c.formats = d, formats
	c.published = func(uri string) ([]byte, bool) {
		if raw, ok := metaFile(uri); ok {
			return raw, true
		}
		raw, ok := files["remotes/"+strings.TrimPrefix(uri, "http://localhost:1234/")]
		return raw, ok
	}
	return c.compile(schema)
}

func verdictOf(t *testing.T, s *Schema, data []byte) string {
	t.Helper()
	violations, err := s.Validate(t.Context(), data, &Budget{steps: math.MaxInt32})
	switch {
	case err != nil:
		return err.Error()
	case len(violations) > 0:
		return "invalid"
	default:
		return "valid"
	}
}

// differences are the cases of the suite whose verdict differs on purpose, by the beginning of their names ("*" is any
// draft), with the reason.
var differences = map[string]string{
	"*/optional/content: ": "contentEncoding and contentMediaType are annotations, as they are for Ajv and from 2019-09 on for the specification",
	"*/vocabulary: schema that uses custom metaschema": "a dialect of one's own is refused when the schema is registered: only the published drafts " +
		"are known",
	"*/vocabulary: ignore unrecognized optional vocabulary": "the same",
	"*/optional/format-assertion: ":                         "the same",
	"draft4/optional/zeroTerminatedFloats: ":                "1.0 is an integer in every draft, as it is for Ajv and from draft-06 on for the specification",
	`draft2020-12/optional/ecmascript-regex: \a is not`:     "format is an annotation from 2019-09 on",
}

// difference returns the table's entry for a case.
func difference(id string) (string, bool) {
	_, rest, _ := strings.Cut(id, "/")
	for prefix := range differences {
		general, all := strings.CutPrefix(prefix, "*/")
		if all && strings.HasPrefix(rest, general) || strings.HasPrefix(id, prefix) {
			return prefix, true
		}
	}
	return "", false
}
