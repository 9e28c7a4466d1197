package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A check that costs too much is a 422 that names the field, on every route that checks data or takes a schema.
func TestSchemas_CostlyDataAndSchemasAreRefused(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	const unprocessable = http.StatusUnprocessableEntity
	e.asAdmin("PUT /v1/event-types/n", `{"schema":{"properties":{"n":{"minimum":0,"multipleOf":0.01}}}}`).is(http.StatusOK)
	e.asAdmin("PUT /v1/event-types/deep", `{"schema":{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}}`).is(http.StatusOK)
	for _, number := range []string{"1e9999999", "-1e-9999999", strings.Repeat("8", 100_000)} {
		data := `{"n":` + number + `}`
		require.Equal(t, []string{"data.n"}, e.call(eventsRoute, `{"type":"n","data":`+data+`}`).is(unprocessable).fields())
		require.Equal(t, []string{"data.n"}, e.call(eventsRoute+"/match", `{"type":"n","data":`+data+`}`).is(unprocessable).fields())
		require.Equal(t, []string{"events[1].data.n"},
			e.call(eventsRoute+"/batch", `{"events":[{"type":"n","data":{"n":1}},{"type":"n","data":`+data+`}]}`).is(unprocessable).fields())
		require.Equal(t, []string{"schema"}, e.asAdmin("PUT /v1/event-types/a", `{"schema":{"maximum":`+number+`}}`).is(unprocessable).fields())
		require.Equal(t, []string{"example.n"}, e.asAdmin("PUT /v1/event-types/a", `{"schema":{},"example":`+data+`}`).is(unprocessable).fields())
		e.call(eventsRoute, `{"type":"order.created","data":`+data+`}`).is(http.StatusAccepted)
	}
	deep := strings.Repeat(`{"a":`, 50) + `1` + strings.Repeat(`}`, 50)
	require.Equal(t, []string{"data"}, e.call(eventsRoute, `{"type":"deep","data":`+deep+`}`).is(unprocessable).fields())
	for _, schema := range []string{
		`{"pattern":"[a-z]{1,1000}@"}`, strings.Repeat(`{"not":`, 2000) + `{}` + strings.Repeat(`}`, 2000), `{"pattern":"(a)\\1"}`, `{"$schema":"http://x"}`,
	} {
		require.Equal(t, []string{"schema"}, e.asAdmin("PUT /v1/event-types/a", `{"schema":`+schema+`}`).is(unprocessable).fields())
	}
	e.asAdmin("GET /v1/event-types/a", "").is(http.StatusNotFound)
}
