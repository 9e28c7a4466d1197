package ewarehousing_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/ewarehousing"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

const (
	path      = "/ewarehousing/webhooks/"
	mediaType = "application/json"
	refused   = `{"code":400,"message":"x"}`
)

func bearer(key string) string { return "Bearer " + key }

func body(url, topic string) string {
	group, action, _ := strings.Cut(topic, ".")
	return `{"url":"` + url + `","group":"` + group + `","action":"` + action + `","hash_secret":"ABC12345"}`
}

func create(t *testing.T, b *systemstest.Bench, body string) string {
	t.Helper()
	w := b.Do(systemstest.Call{Method: http.MethodPost, Path: path, Authorization: bearer(b.Key), Type: mediaType, Body: body})
	require.Equal(t, http.StatusCreated, w.Code, w.Body.String())
	return systemstest.Text(t, w, "id")
}

// TestEWarehousing_Document runs the document's curl commands as they are printed, except for the host and the ids, and with the
// authorization that the document leaves out. Whole answers are compared.
func TestEWarehousing_Document(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	replace := []string{"https://eu-dev.middleware.ewarehousing-solutions.com", "https://hooks.example/ewarehousing"}
	run := func(command string) string {
		return command + ` -H 'Authorization: Bearer ` + b.Key + `' -H 'X-Wms-Code: wms' -H 'X-Customer-Code: customer'`
	}
	volatile := []string{"id", "customer"}

	created := b.Curl(run(`curl -X POST 'https://eu-dev.middleware.ewarehousing-solutions.com/webhooks/' \
            -H 'Content-Type: application/json' \
            --data-raw '{
            "url": "https://webhook.site/d8cfed29-d64c-41e6-82fe-f4919992b7a8",
            "group": "stock",
            "action": "updated",
            "hash_secret": "ABC12345"
        }'`), replace...)
	systemstest.RequireJSON(t, 201, `{
  "id": "2f1a2b53-b499-40a5-b440-e5c30e37c97c",
  "url": "https://webhook.site/d8cfed29-d64c-41e6-82fe-f4919992b7a8",
  "group": "stock",
  "action": "updated",
  "topic": "stock.updated",
  "customer": "be62c27e-2aac-4ac1-902e-f770d64f8dce",
  "hash_secret": "ABC12345"
}`, created, volatile...)
	require.Equal(t, systemstest.Tenant, systemstest.Text(t, created, "customer"))
	id := systemstest.Text(t, created, "id")
	require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, id)

	create(t, b, body("https://webhook.site/d8cfed29-d64c-41e6-82fe-f4919992b7a8", "order.updated"))
	systemstest.RequireJSON(t, 200, `{
  "count": 2,
  "next": null,
  "previous": null,
  "results": [
    {
      "id": "6caeff6d-cd72-4fde-9d02-0704514ad917",
      "url": "https://webhook.site/d8cfed29-d64c-41e6-82fe-f4919992b7a8",
      "group": "stock",
      "action": "updated",
      "topic": "stock.updated",
      "customer": "be62c27e-2aac-4ac1-902e-f770d64f8dce"
    },
    {
      "id": "ac954ac8-4182-4dc5-b951-f570dc145fe4",
      "url": "https://webhook.site/d8cfed29-d64c-41e6-82fe-f4919992b7a8",
      "group": "order",
      "action": "updated",
      "topic": "order.updated",
      "customer": "be62c27e-2aac-4ac1-902e-f770d64f8dce"
    }
  ]
}`, b.Curl(run(`curl https://eu-dev.middleware.ewarehousing-solutions.com/webhooks/`), replace...), volatile...)

	systemstest.RequireJSON(t, 200, `{
  "id": "2f1a2b53-b499-40a5-b440-e5c30e37c97c",
  "url": "https://webhook.site/5c2bba38-7515-478d-95c9-cc263f38e23f",
  "group": "order",
  "action": "created",
  "topic": "order.created",
  "customer": "be62c27e-2aac-4ac1-902e-f770d64f8dce"
}`, b.Curl(run(`curl -X PUT
            https://eu-dev.middleware.ewarehousing-solutions.com/webhooks/774bf6ee-90cf-11e9-b36d-0242ac120005/ \
            --data-raw '{
            "url": "https://webhook.site/5c2bba38-7515-478d-95c9-cc263f38e23f",
            "group": "order",
            "action": "created"
        }'`), append(replace, "774bf6ee-90cf-11e9-b36d-0242ac120005", id)...), volatile...)

	gone := b.Curl(run(`curl -X DELETE https://eu-dev.middleware.ewarehousing-solutions.com/webhooks/33a59408-c708-4da4-9f1f-50e87c968928/`),
		append(replace, "33a59408-c708-4da4-9f1f-50e87c968928", id)...)
	require.Equal(t, 204, gone.Code)
	require.Empty(t, gone.Body.String())
	systemstest.RequireJSON(t, 404, `{"code":404,"message":"there is no such webhook"}`,
		b.Do(systemstest.Call{Method: http.MethodGet, Path: path + id + "/", Authorization: bearer(b.Key)}))
}

func TestEWarehousing_PatchChangesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	one := path + create(t, b, body("https://webhook.site/a", "order.created")) + "/"
	patch := func(body string) systemstest.Call {
		return systemstest.Call{Method: http.MethodPatch, Path: one, Authorization: bearer(b.Key), Body: body}
	}
	want := func(url, group, action string) string {
		return `{"id":"x","url":"` + url + `","group":"` + group + `","action":"` + action + `","topic":"` + group + "." + action + `","customer":"acme"}`
	}
	systemstest.RequireJSON(t, 200, want("https://webhook.site/a", "order", "shipped"), b.Do(patch(`{"action":"shipped"}`)), "id")
	systemstest.RequireJSON(t, 200, want("https://webhook.site/b", "order", "shipped"), b.Do(patch(`{"url":"https://webhook.site/b"}`)), "id")
	systemstest.RequireJSON(t, 200, want("https://webhook.site/b", "order", "shipped"), b.Do(patch(`{"hash_secret":"another"}`)), "id")
	w := b.Webhooks(systemstest.Tenant)[0]
	secret, err := b.Service.Secret(&w)
	require.NoError(t, err)
	require.Equal(t, "another", secret)
	// A whole answer can be sent back, and the slash at the end may be left out.
	read := b.Do(systemstest.Call{Method: http.MethodGet, Path: strings.TrimSuffix(one, "/"), Authorization: bearer(b.Key)})
	systemstest.RequireJSON(t, 200, want("https://webhook.site/b", "order", "shipped"), b.Do(patch(read.Body.String())), "id")
}

func TestEWarehousing_ListPagesAndSorts(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	for _, w := range []struct{ url, topic string }{
		{"https://webhook.site/3", "stock.updated"}, {"https://webhook.site/1", "order.updated"}, {"https://webhook.site/2", "order.created"},
	} {
		create(t, b, body(w.url, w.topic))
	}
	b.Webhook(systemstest.Tenant, "https://webhook.site/standard") // of another profile: not listed
	type page struct {
		Count          int
		Next, Previous *string
		Results        []struct{ URL string }
	}
	get := func(t *testing.T, query string) (p page, order string) {
		t.Helper()
		w := b.Do(systemstest.Call{Method: http.MethodGet, Path: path + query, Authorization: bearer(b.Key)})
		require.Equal(t, 200, w.Code, w.Body.String())
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		require.Equal(t, 3, p.Count)
		for _, r := range p.Results {
			order += r.URL[len(r.URL)-1:]
		}
		return p, order
	}
	for query, want := range map[string]string{
		"":                               "312",
		"?direction=desc":                "213",
		"?sort=createdAt&direction=asc":  "312",
		"?sort=id":                       "312",
		"?sort=updatedAt&direction=desc": "213",
		"?sort=url":                      "123",
		"?sort=url&direction=desc":       "321",
		"?sort=group":                    "213",
		"?sort=topic":                    "213",
		"?sort=action":                   "231",
		"?limit=2":                       "31",
		"?limit=2&page=2":                "2",
		"?limit=2&page=9":                "",
		"?direction=DESC":                "213",
		"?direction=ASC&sort=created_at": "312",
		"?sort=UPDATED_AT":               "312",
		"?direction=&sort=&group=":       "312",
	} {
		t.Run(query, func(t *testing.T) {
			_, order := get(t, query)
			require.Equal(t, want, order)
		})
	}

	// The links lead through all pages and back.
	p, first := get(t, "?limit=1&sort=url&direction=desc")
	require.Nil(t, p.Previous)
	require.Equal(t, "https://hooks.example/ewarehousing/webhooks/?direction=desc&limit=1&page=2&sort=url", *p.Next)
	p, second := get(t, strings.TrimPrefix(*p.Next, "https://hooks.example"+path))
	back := *p.Previous
	p, third := get(t, strings.TrimPrefix(*p.Next, "https://hooks.example"+path))
	require.Nil(t, p.Next)
	require.Equal(t, "321", first+second+third)
	_, order := get(t, strings.TrimPrefix(back, "https://hooks.example"+path))
	require.Equal(t, first, order)
	p, _ = get(t, "?limit=2&page=9")
	require.Nil(t, p.Next)
	require.Contains(t, *p.Previous, "page=2")
}

func TestEWarehousing_EveryTopicCanBeRegistered(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	for topic := range strings.FieldsSeq(`article.created article.updated article.deleted batch.updated inbound.created inbound.updated
		inbound.completed modification.created modification.updated modification.approved modification.disapproved order.created
		order.updated order.planned order.processing order.shipped shipment.created shipment.updated stock.updated variant.created
		variant.updated variant.deleted`) {
		create(t, b, body("https://webhook.site/"+topic, topic))
	}
	require.Len(t, b.Webhooks(systemstest.Tenant), 22)
}

// TestEWarehousing_Receiver checks deliveries as the vendor's page asks receivers to: the HMAC of the raw body, and an id that is
// the same for every attempt.
func TestEWarehousing_Receiver(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	receiver := systemstest.NewReceiver(t)
	create(t, b, body(receiver.URL, "stock.updated"))
	published, err := b.Service.Publish(t.Context(), systemstest.Tenant, service.PublishRequest{Events: []service.EventInput{{Type: "stock.updated",
		Data: []byte(`{"quantity": 12}`), Attributes: map[string]string{"entity": "variant", "entityId": "e-1", "customer": "c-1"}}}})
	require.NoError(t, err)
	delivery := b.Deliveries(systemstest.Tenant, published[0].ID)[0]
	receiver.Answer(500)
	b.Attempt(systemstest.Tenant, delivery.ID)
	receiver.Answer(200)
	b.Attempt(systemstest.Tenant, delivery.ID)

	got := receiver.Take()
	require.Len(t, got, 2)
	for _, attempt := range got {
		systemstest.RequireBytes(t, `{"body":{"quantity": 12},"group":"stock","action":"updated","entity":"variant","customer":"c-1","entityId":"e-1"}`, attempt.Body)
		mac := hmac.New(sha256.New, []byte("ABC12345"))
		mac.Write([]byte(attempt.Body))
		require.Equal(t, base64.StdEncoding.EncodeToString(mac.Sum(nil)), attempt.Header.Get("X-Hmac-SHA256"))
		require.Equal(t, strings.TrimPrefix(published[0].ID, "evt_"), attempt.Header.Get("X-Webhook-Id"))
	}
	b.Deliver(systemstest.Tenant, "stock.updated", `{"id":"e-2"}`)
	got = receiver.Take()
	systemstest.RequireBytes(t, `{"body":{"id":"e-2"},"group":"stock","action":"updated","entity":"stock","customer":"acme","entityId":"e-2"}`, got[0].Body)
}

// TestEWarehousing_CrossView follows one webhook through both APIs.
func TestEWarehousing_CrossView(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	id := create(t, b, body("https://webhook.site/a", "stock.updated"))
	w := b.Webhooks(systemstest.Tenant)[0]
	require.Equal(t, "wh_"+id, w.ID)
	require.Equal(t, "ewarehousing", w.Profile)
	require.Equal(t, []string{"stock.updated"}, w.EventTypes)
	require.Equal(t, int64(10_000), w.TimeoutMS)
	require.Empty(t, b.Webhooks(systemstest.Other))

	require.NoError(t, b.Service.Gone(t.Context(), &w))
	held := b.Publish(systemstest.Tenant, "stock.updated", `{}`)
	require.Equal(t, models.Held, b.Deliveries(systemstest.Tenant, held)[0].Status)
	_, err := b.Service.Enable(t.Context(), systemstest.Tenant, w.ID, "test")
	require.NoError(t, err)
	_, err = b.Service.Recover(t.Context(), systemstest.Tenant, w.ID, service.RecoveryRequest{})
	require.NoError(t, err)

	for _, c := range []struct {
		types []string
		want  string
	}{{[]string{"order.*", "stock.updated"}, `"group":"order","action":"*"`}, {[]string{}, `"group":"*","action":"*"`}} {
		_, err = b.Service.UpdateWebhook(t.Context(), systemstest.Tenant, w.ID, service.WebhookChange{EventTypes: &c.types})
		require.NoError(t, err)
		one := systemstest.Call{Method: http.MethodGet, Path: path + id + "/", Authorization: bearer(b.Key)}
		require.Contains(t, b.Do(one).Body.String(), c.want)
	}
}

func TestEWarehousing_WebhooksOfOthersAndOfOtherProfilesAreNotSeen(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	id := create(t, b, body("https://webhook.site/a", "stock.updated"))
	standard := b.Webhook(systemstest.Tenant, "https://receiver.example/")
	for _, c := range []systemstest.Call{{Method: "GET"}, {Method: "PATCH", Body: "{}"}, {Method: "PUT", Body: "{}"}, {Method: "DELETE"}} {
		c.Path, c.Authorization = path+id+"/", bearer(b.OtherKey)
		require.Equal(t, 404, b.Do(c).Code)
		c.Path, c.Authorization = path+standard.ID+"/", bearer(b.Key)
		require.Equal(t, 404, b.Do(c).Code)
	}
	list := b.Do(systemstest.Call{Method: "GET", Path: path, Authorization: bearer(b.OtherKey)})
	systemstest.RequireJSON(t, 200, `{"count":0,"next":null,"previous":null,"results":[]}`, list)
	require.Len(t, b.Webhooks(systemstest.Tenant), 2)
}

func TestEWarehousing_Access(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	good := body("https://webhook.site/a", "stock.updated")
	one := path + create(t, b, good) + "/"
	systemstest.RequireAccess(t, b, systemstest.Access{
		Calls: []systemstest.Call{
			{Method: "GET", Path: path},
			{Method: "POST", Path: path, Body: good},
			{Method: "GET", Path: one},
			{Method: "PATCH", Path: one, Body: `{"action":"updated"}`},
			{Method: "PUT", Path: one, Body: `{"action":"updated"}`},
			{Method: "DELETE", Path: one},
		},
		Authorization: bearer,
		Refused:       refused,
	})
}

func TestEWarehousing_BadInput(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount, servicetest.Strict)
	one := path + create(t, b, body("https://webhook.site/a", "stock.updated")) + "/"
	invalid := func(message string) string { return `{"code":400,"message":"` + message + `"}` }
	var inputs []systemstest.BadInput
	add := func(method, path string, status int, body, want string) {
		inputs = append(inputs, systemstest.BadInput{Name: method + " " + strconv.Itoa(len(inputs)) + " " + body, Status: status, Want: want,
			Call: systemstest.Call{Method: method, Path: path, Type: mediaType, Body: body}})
	}
	for _, in := range []struct{ body, want string }{
		{"", invalid("body must be a JSON object")},
		{"[]", invalid("body must be a JSON object")},
		{"url=https://webhook.site/a", invalid("body must be a JSON object")},
		{`{"url":1}`, invalid("url must be a string")},
		{`{"hash_secret":""}`, invalid("hash_secret must not be empty")},
		{`{"colour":"red"}`, invalid("colour is not known")},
	} {
		for _, method := range []string{"PATCH", "PUT"} {
			add(method, one, 400, in.body, in.want)
		}
		if !strings.HasPrefix(in.body, "{") {
			add("POST", path, 400, in.body, in.want)
		}
	}
	add("POST", path, 400, "{}", invalid("url is required; group is required; action is required; hash_secret is required"))
	add("POST", path, 400, `{"url":"https://a.example"}`, invalid("group is required; action is required; hash_secret is required"))
	add("POST", path, 400, `{"url":"https://a.example","group":"stock"}`, invalid("action is required; hash_secret is required"))
	add("POST", path, 400, `{"url":"https://a.example","group":"stock","action":"updated"}`, invalid("hash_secret is required"))
	add("POST", path, 400, body("https://a.example", "stocks.updated"), invalid("group is not known"))
	add("POST", path, 400, body("https://a.example", "stock.created"), invalid("action is not one of the group's"))
	add("POST", path, 400, body("https://a.example", "stock.*"), invalid("action is not one of the group's"))
	add("POST", path, 400, body("https://a.example", "."), invalid("group is not known"))
	add("POST", path, 400, body("http://a.example", "stock.updated"), invalid("url destination not allowed: the URL must be https"))
	add("POST", path, 400, body("https://192.168.0.1", "stock.updated"), "")
	add("POST", path, 400, body("", "stock.updated"), "")
	add("POST", path, 400, strings.Replace(body("https://a.example", "stock.updated"), "ABC12345", strings.Repeat("s", 1025), 1), "")
	add("PATCH", one, 400, `{"group":"order","action":"updating"}`, invalid("action is not one of the group's"))
	add("PATCH", one, 400, `{"action":"created"}`, invalid("action is not one of the group's"))
	add("PATCH", one, 400, `{"url":"http://a.example"}`, "")
	for _, query := range []string{"limit=0", "limit=501", "limit=x", "page=0", "page=-1", "page=1e3", "direction=up", "sort=colour", "group=stocks", "colour=red", "page=1&page=2"} {
		add("GET", path+"?"+query, 400, "", "")
	}
	for _, id := range []string{"774bf6ee-90cf-11e9-b36d-0242ac120005", "1", "%00", "%ff"} {
		add("GET", path+id+"/", 404, "", "")
		add("PATCH", path+id+"/", 404, "{}", "")
		add("DELETE", path+id+"/", 404, "", "")
	}
	systemstest.RequireRefused(t, b, refused, bearer(b.Key), inputs)
}

func TestEWarehousing_PlainHTTPIsRefusedEvenWhereTheInstallationAllowsIt(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	b.Service.Dev = false // the guard lets loopback pass, the profile does not
	w := b.Do(systemstest.Call{Method: "POST", Path: path, Authorization: bearer(b.Key), Body: body("http://127.0.0.1:9000/", "stock.updated")})
	systemstest.RequireJSON(t, 400, `{"code":400,"message":"url must be https"}`, w)
}

// A tenant appears with its name, not its id.
func TestEWarehousing_CustomerIsTheTenantsName(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	receiver := systemstest.NewReceiver(t)
	create(t, b, body(receiver.URL, "stock.updated"))
	old := b.Key
	var id string
	id, b.Key = b.TenantAgain(systemstest.Tenant)
	list := systemstest.Call{Method: http.MethodGet, Path: path, Authorization: bearer(old)}
	require.Equal(t, http.StatusUnauthorized, b.Do(list).Code)
	list.Authorization = bearer(b.Key)
	require.NotContains(t, b.Do(list).Body.String(), receiver.URL)

	create(t, b, body(receiver.URL, "stock.updated"))
	require.Contains(t, b.Do(list).Body.String(), `"customer":"`+systemstest.Tenant+`"`)
	b.Deliver(id, "stock.updated", `{"id":"x"}`)
	require.Contains(t, receiver.Take()[0].Body, `"customer":"`+systemstest.Tenant+`"`)
}

func TestEWarehousing_ListFilters(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, ewarehousing.Mount)
	for _, topic := range []string{"stock.updated", "order.updated", "order.created"} {
		create(t, b, body("https://webhook.site/"+topic, topic))
	}
	for query, want := range map[string][]string{
		"?group=order":                        {"order.updated", "order.created"},
		"?action=updated":                     {"stock.updated", "order.updated"},
		"?group=order&action=updated&limit=1": {"order.updated"},
		"?topic=order.created":                {"order.created"},
		"?group=batch":                        {},
		"?group=&action=&topic=":              {"stock.updated", "order.updated", "order.created"},
	} {
		t.Run(query, func(t *testing.T) {
			w := b.Do(systemstest.Call{Method: http.MethodGet, Path: path + query, Authorization: bearer(b.Key)})
			var p struct {
				Count   int
				Results []struct{ Topic string }
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
			topics := []string{}
			for _, r := range p.Results {
				topics = append(topics, r.Topic)
			}
			require.Equal(t, want, topics)
			require.Equal(t, len(want), p.Count)
		})
	}
	w := b.Do(systemstest.Call{Method: http.MethodGet, Path: path + "?group=order&limit=1", Authorization: bearer(b.Key)})
	require.Contains(t, w.Body.String(), "?group=order&limit=1&page=2", "links keep the filter")
}
