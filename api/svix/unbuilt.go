package svix

import (
	"net/http"
	"slices"
	"strings"
)

// original are the calls of Svix, by path, that are not here: a client is answered 501 for them. "*" stands for one segment of
// a path, and "**" at the end for any number.
var original = map[string][]string{
	"auth/logout":                        {http.MethodPost},
	"auth/app-portal-access/*":           {http.MethodPost},
	"auth/dashboard-access/*":            {http.MethodPost},
	"auth/stream-portal-access/*":        {http.MethodPost},
	"auth/stream-logout":                 {http.MethodPost},
	"auth/stream/**":                     {http.MethodGet, http.MethodPost},
	"app/*/endpoint/*/stats":             {http.MethodGet},
	"app/*/endpoint/*/replay-missing":    {http.MethodPost},
	"app/*/endpoint/*/bulk-replay":       {http.MethodPost},
	"app/*/endpoint/*/transformation":    {http.MethodGet, http.MethodPatch},
	"app/*/endpoint/*/transformation/**": {http.MethodGet, http.MethodPost, http.MethodPatch},
	"app/*/msg/bulk-expunge":             {http.MethodPost},
	"app/*/msg/expunge-all-contents":     {http.MethodPost},
	"app/*/msg/*/attempt/*/content":      {http.MethodDelete},
	"app/*/msg/*/attempt/*/headers":      {http.MethodGet},
	"app/*/msg/*/raw":                    {http.MethodGet},
	"app/*/attempt":                      {http.MethodGet},
	"app/*/integration":                  {http.MethodGet, http.MethodPost},
	"app/*/integration/**":               {http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete},
	"app/*/poller/**":                    {http.MethodGet, http.MethodPost},
	"app/*/stats/**":                     {http.MethodGet, http.MethodPost},
	"background-task":                    {http.MethodGet},
	"background-task/*":                  {http.MethodGet},
	"connector":                          {http.MethodGet, http.MethodPost},
	"connector/*":                        {http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete},
	"environment/export":                 {http.MethodPost},
	"environment/import":                 {http.MethodPost},
	"event-type/import/openapi":          {http.MethodPost},
	"event-type/schema/generate-example": {http.MethodPost},
	"ingest/**":                          {http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete},
	"operational-webhook/**":             {http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete},
	"stats/**":                           {http.MethodGet, http.MethodPost, http.MethodPut},
	"stream":                             {http.MethodGet, http.MethodPost},
	"stream/**":                          {http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete},
}

// unbuilt names the call of Svix that a request makes; "" = Svix has none like it.
func unbuilt(r *http.Request) string {
	path, ok := strings.CutPrefix(r.URL.Path, "/svix"+base+"/")
	if !ok {
		return ""
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for pattern, methods := range original {
		if slices.Contains(methods, method) && matches(strings.Split(pattern, "/"), segments) {
			return method + " " + base + "/" + pattern
		}
	}
	return ""
}

func matches(pattern, segments []string) bool {
	for i, part := range pattern {
		switch {
		case i >= len(segments):
			return false
		case part == "**":
			return true
		case part != "*" && part != segments[i]:
			return false
		}
	}
	return len(pattern) == len(segments)
}
