package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/posthorn/posthorn/client"
)

// svixImport copies the contents of a Svix server into a Posthorn. It finds a thing again by its id at Svix. An
// application app_X is the tenant X, so that its Svix id continues to work on /svix. An endpoint is the webhook with
// its uid; an endpoint ep_X without a uid gets the uid X.
type svixImport struct {
	url, key string // of the Posthorn
	from     *svixServer
	to       *client.ClientWithResponses
	disabled bool // what is new here
	report   importReport
}

func (m *svixImport) add(kind, from string) *imported {
	i := &imported{Kind: kind, From: from, Notes: []string{}}
	m.report.Data = append(m.report.Data, i)
	return i
}

// run imports event types first, because webhooks name them.
func (m *svixImport) run(ctx context.Context) error {
	query := url.Values{"with_content": {"true"}, "include_archived": {"true"}}
	if err := eachOf(ctx, m.from, "/event-type", query, func(t svixEventType) error { return m.eventType(ctx, &t) }); err != nil {
		return err
	}
	return eachOf(ctx, m.from, "/app", nil, func(a svixApplication) error { return m.application(ctx, &a) })
}

// refuse notes that a thing was refused, if the error says so. Any other error ends the import, for example a key
// without the needed role.
func (i *imported) refuse(err error) error {
	if err == nil {
		return nil
	}
	refused := false
	if e, ok := errors.AsType[*client.Error](err); ok {
		refused = exitCodes[e.Status] == exitInvalid || exitCodes[e.Status] == exitConflict || e.Status == http.StatusNotFound
	} else if e, ok := errors.AsType[*svixError](err); ok { // about a thing that it has listed
		refused = e.status == http.StatusForbidden || e.status == http.StatusNotFound
	}
	if !refused {
		return err
	}
	i.Result = importRefused
	i.notef("%s", err)
	return nil
}

// came notes what a call has changed, by comparing the thing before and after it.
func (i *imported) came(before, after []byte) {
	result := importUpdated
	if before == nil {
		result = importCreated
	} else if same(before, after) {
		result = importUnchanged
	}
	if i.Result == "" || i.Result == importUnchanged {
		i.Result = result
	}
}

// same reports whether two answers are equal, apart from the time of the change and its key.
func same(a, b []byte) bool {
	var shown [2]map[string]any
	for i, text := range [][]byte{a, b} {
		if json.Unmarshal(text, &shown[i]) != nil {
			return false
		}
		delete(shown[i], "updated_at")
		delete(shown[i], "updated_by")
	}
	return reflect.DeepEqual(shown[0], shown[1])
}

// bodyOf returns the body of an answer.
func bodyOf(response interface{ GetBody() []byte }, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return response.GetBody(), nil
}

// ifThere returns the body of an answer; nil if the thing does not exist.
func ifThere(response interface{ GetBody() []byte }, err error) ([]byte, error) {
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Status == http.StatusNotFound {
		return nil, nil
	}
	return bodyOf(response, err)
}

// fields are a request's body.
type fields map[string]any

// put sends the fields. If they are refused because of optional ones, it sends them again without these.
func (i *imported) put(in fields, spare []string, send func(io.Reader) ([]byte, error)) ([]byte, error) {
	try := func() ([]byte, error) {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		return send(bytes.NewReader(text))
	}
	out, err := try()
	refused, ok := errors.AsType[*client.Error](err)
	if !ok || refused.Status != http.StatusUnprocessableEntity || len(refused.Errors) == 0 {
		return out, err
	}
	var notes []string
	for _, wrong := range refused.Errors {
		name, _, _ := strings.Cut(wrong.Field, ".")
		name, _, _ = strings.Cut(name, "[")
		if !slices.Contains(spare, name) {
			return out, err
		}
		delete(in, name)
		notes = append(notes, wrong.Field+": "+wrong.Message)
	}
	i.Notes = append(i.Notes, notes...)
	return try()
}

const jsonType = "application/json"

// eventType imports an event type, which all tenants share.
func (m *svixImport) eventType(ctx context.Context, t *svixEventType) error {
	i := m.add("event type", t.Name)
	in := fields{"description": t.Description, "deprecated": t.Deprecated, "archived": t.Archived}
	switch {
	case len(t.FeatureFlags) > 0:
		in["feature_flags"] = t.FeatureFlags
	case t.FeatureFlag != "":
		in["feature_flags"] = []string{t.FeatureFlag}
	}
	versions := slices.SortedFunc(maps.Keys(t.Schemas), func(a, b string) int { return number(a) - number(b) })
	if n := len(versions); n > 0 {
		in["schema"] = t.Schemas[versions[n-1]]
		if n > 1 {
			i.notef("schemas: of %d versions only %s is kept", n, versions[n-1])
		}
	}
	was, err := ifThere(m.to.GetEventTypeWithResponse(ctx, t.Name))
	if err != nil {
		return i.refuse(err)
	}
	var here client.EventType
	if was != nil {
		if err := json.Unmarshal(was, &here); err != nil {
			return err
		}
		in["example"] = here.Example
	}
	now, err := i.put(in, []string{"description", "schema", "example", "feature_flags"}, func(body io.Reader) ([]byte, error) {
		return bodyOf(m.to.PutEventTypeWithBodyWithResponse(ctx, t.Name, jsonType, body))
	})
	if err != nil {
		return i.refuse(err)
	}
	i.To = t.Name
	if err := json.Unmarshal(now, &here); err != nil {
		return err
	}
	if group := t.GroupName; group != "" && (here.Category == nil || *here.Category != group) {
		if err := m.group(ctx, t.Name, group); err != nil {
			i.notef("group %q: %s", group, err)
		} else if now, err = bodyOf(m.to.GetEventTypeWithResponse(ctx, t.Name)); err != nil {
			return err
		}
	}
	i.came(was, now)
	return nil
}

// group sets the group of an event type: /v1 shows it as the category, and only /svix can set it.
func (m *svixImport) group(ctx context.Context, eventType, group string) error {
	body, err := json.Marshal(fields{"groupName": group})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, m.url+"/svix/api/v1/event-type/"+url.PathEscape(eventType), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+m.key)
	request.Header.Set("Content-Type", jsonType)
	response, err := m.from.http.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/svix answers %s", response.Status)
	}
	return nil
}

// number returns a version as a number. A version that is no number sorts first.
func number(version string) int {
	n, err := strconv.Atoi(version)
	if err != nil {
		return -1
	}
	return n
}

// application imports an application as a tenant, with its endpoints.
func (m *svixImport) application(ctx context.Context, a *svixApplication) error {
	i := m.add("application", a.ID)
	tenant := strings.TrimPrefix(a.ID, "app_")
	was, err := ifThere(m.to.GetTenantWithResponse(ctx, tenant))
	if err != nil {
		return i.refuse(err)
	}
	now, err := i.put(fields{"name": a.Name, "metadata": orNone(a.Metadata)}, []string{"name", "metadata"}, func(body io.Reader) ([]byte, error) {
		if was == nil {
			return bodyOf(m.to.PutTenantWithBodyWithResponse(ctx, tenant, jsonType, body))
		}
		return bodyOf(m.to.PatchTenantWithBodyWithResponse(ctx, tenant, jsonType, body))
	})
	if err != nil {
		return i.refuse(err)
	}
	i.To = tenant
	if now, err = m.rate(ctx, tenant, rateOf(a.RateLimit, a.ThrottleRate), now); err != nil {
		return i.refuse(err)
	}
	if a.UID != "" && a.UID != tenant {
		named, err := m.to.PatchTenantWithResponse(ctx, tenant, client.TenantPatch{UID: &a.UID})
		refused, ok := errors.AsType[*client.Error](err)
		switch {
		case ok && (refused.Status == http.StatusConflict || refused.Status == http.StatusUnprocessableEntity):
			i.notef("uid %q: %s", a.UID, err)
		case err != nil:
			return err
		default:
			now = named.GetBody()
		}
	}
	i.came(was, now)
	endpoints := "/app/" + url.PathEscape(a.ID) + "/endpoint"
	return i.refuse(eachOf(ctx, m.from, endpoints, nil, func(e svixEndpoint) error {
		return m.endpoint(ctx, tenant, endpoints+"/"+url.PathEscape(e.ID), a.ID, &e)
	}))
}

// rate gives a tenant the rate of an application. now is the tenant as it is, and as it is afterwards.
func (m *svixImport) rate(ctx context.Context, tenant string, rate float64, now []byte) ([]byte, error) {
	var here client.Tenant
	if err := json.Unmarshal(now, &here); err != nil || rate == rateOf(here.Limits.Rate) {
		return now, err
	}
	body, err := json.Marshal(fields{"limits": fields{"rate": given(rate)}})
	if err != nil {
		return now, err
	}
	return bodyOf(m.to.PatchTenantWithBodyWithResponse(ctx, tenant, jsonType, bytes.NewReader(body)))
}

// rateOf returns the rate, whichever of its names is used; 0 = none.
func rateOf(rates ...*float64) float64 {
	for _, rate := range rates {
		if rate != nil {
			return *rate
		}
	}
	return 0
}

func orNone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// endpoint imports an endpoint as a webhook, with its secret and its headers.
func (m *svixImport) endpoint(ctx context.Context, tenant, path, app string, e *svixEndpoint) error {
	i := m.add("endpoint", app+"/"+e.ID)
	was, uid, err := m.webhookOf(ctx, tenant, e)
	if err != nil {
		return i.refuse(err)
	}
	if uid != e.UID && e.UID != "" {
		i.notef("uid %q: not allowed for a webhook, imported as %q", e.UID, uid)
	}
	var secret struct {
		Key string `json:"key"`
	}
	var headers svixHeaders
	err = m.from.get(ctx, path+"/secret", nil, &secret)
	if err == nil {
		err = m.from.get(ctx, path+"/headers", nil, &headers)
	}
	if err != nil {
		return i.refuse(err)
	}
	if strings.HasPrefix(secret.Key, "whpk_") {
		i.Result = importRefused
		i.notef("it signs with its own key, which Svix does not show: register it by hand")
		return nil
	}
	if err := m.noteTransformation(ctx, i, path); err != nil {
		return err
	}
	var here client.Webhook
	if was != nil {
		if err := json.Unmarshal(was, &here); err != nil {
			return err
		}
		if here.Profile != profileOfSvix {
			i.Result = importRefused
			i.notef("the webhook %s has its uid, and profile %s", here.ID, here.Profile)
			return nil
		}
	}
	in := e.fields(uid)
	in["headers"] = headersOf(i, &headers, here.Headers)
	spare := []string{"description", "metadata", "rate_limit"}
	if was == nil {
		in["secret"], in["active"], in["profile"] = secret.Key, !e.Disabled && !m.disabled, profileOfSvix
		now, err := i.put(in, spare, func(body io.Reader) ([]byte, error) {
			return bodyOf(m.to.CreateWebhookWithBodyWithResponse(ctx, tenant, jsonType, body))
		})
		if err != nil {
			return i.refuse(err)
		}
		if err := json.Unmarshal(now, &here); err != nil {
			return err
		}
		i.To = tenant + "/" + here.ID
		i.came(nil, now)
		return nil
	}
	i.To = tenant + "/" + here.ID
	switch active := here.Status == "active"; {
	case active && e.Disabled:
		in["active"] = false
	case !active && !e.Disabled:
		i.notef("enabled at Svix; it is %s here, and stays so", here.Status)
	}
	now, err := i.put(in, spare, func(body io.Reader) ([]byte, error) {
		return bodyOf(m.to.PatchWebhookWithBodyWithResponse(ctx, tenant, here.ID, jsonType, body))
	})
	if err != nil {
		return i.refuse(err)
	}
	i.came(was, now)
	return m.secret(ctx, i, tenant, here.ID, secret.Key)
}

// profileOfSvix is the profile with which deliveries look like Svix's on the wire.
const profileOfSvix = "svix"

// fields returns the fields that a webhook takes from the endpoint, except those that are read separately.
func (e *svixEndpoint) fields(uid string) fields {
	types := e.FilterTypes
	if types == nil {
		types = e.EventTypes
	}
	list := func(of []string) []string { return append([]string{}, of...) }
	return fields{"url": e.URL, "description": e.Description, "uid": uid, "event_types": list(types), "channels": list(e.Channels),
		"metadata": orNone(e.Metadata), "rate_limit": rateOf(e.RateLimit, e.ThrottleRate)}
}

// webhookOf finds the webhook of an endpoint, nil if there is none, and the uid that it will have.
func (m *svixImport) webhookOf(ctx context.Context, tenant string, e *svixEndpoint) (was []byte, uid string, err error) {
	bare := strings.TrimPrefix(e.ID, "ep_")
	uid = bare
	if mayBeUID(e.UID) {
		uid = e.UID
	}
	was, err = ifThere(m.to.GetWebhookWithResponse(ctx, tenant, uid))
	if was == nil && err == nil && uid != bare { // it had no uid when it was imported
		was, err = ifThere(m.to.GetWebhookWithResponse(ctx, tenant, bare))
	}
	return was, uid, err
}

// mayBeUID reports whether a webhook may have Svix's uid of an endpoint: it must not look like an id.
func mayBeUID(uid string) bool {
	return uid != "" && uid != "." && uid != ".." && uid != "new" && !strings.HasPrefix(uid, "ep_") && !strings.HasPrefix(uid, "wh_")
}

// headersOf returns the headers that the webhook will have. A value that Svix does not show stays unchanged here.
func headersOf(i *imported, headers *svixHeaders, here map[string]string) map[string]string {
	all := maps.Clone(orNone(headers.Headers))
	for _, name := range headers.Sensitive {
		kept := false
		for has, masked := range here {
			if strings.EqualFold(has, name) {
				all[has], kept = masked, true
			}
		}
		if !kept {
			i.notef("header %s: Svix does not show its value, set it by hand", name)
		}
	}
	return all
}

// secret makes Svix's secret the signing one here. The previous secret also signs for a day, as at Svix.
func (m *svixImport) secret(ctx context.Context, i *imported, tenant, id, key string) error {
	_, err := m.to.RotateWebhookSecretWithResponse(ctx, tenant, id, client.RotateInput{Secret: &key})
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Status == http.StatusUnprocessableEntity &&
		slices.Equal(refused.Errors, []client.FieldError{{Field: "secret", Message: "is already in use"}}) {
		return nil
	}
	if err != nil {
		return i.refuse(fmt.Errorf("the secret: %w", err))
	}
	i.Result = importUpdated
	return nil
}

// noteTransformation notes that an endpoint has a transformation. Some servers do not know transformations.
func (m *svixImport) noteTransformation(ctx context.Context, i *imported, path string) error {
	var transformation struct {
		Enabled bool `json:"enabled"`
	}
	err := m.from.get(ctx, path+"/transformation", nil, &transformation)
	if _, ok := errors.AsType[*svixError](err); err != nil && !ok {
		return err
	}
	if err == nil && transformation.Enabled {
		i.notef("transformation: payloads are sent as they are published")
	}
	return nil
}
