package svix

import (
	"net/http"
	"slices"
	"strings"
)

// original are Svix's calls, by path, that Posthorn does not implement: it answers them with 501. "*" stands for one
// segment of a path, and "**" at the end for any number.
var original = map[string][]string{
	"admin/**":                           every,
	"auth/stream-portal-access/*":        {http.MethodPost},
	"auth/stream-logout":                 {http.MethodPost},
	"auth/stream/**":                     {http.MethodGet, http.MethodPost},
	"auth/app/*/**":                      every,
	"app/stats/count-active":             {http.MethodGet},
	"app/*/alert-email":                  every,
	"app/*/attempt":                      {http.MethodGet},
	"app/*/attempt/endpoint/*/count":     {http.MethodGet},
	"app/*/auto-config":                  every,
	"app/*/endpoint/*/auto-config":       every,
	"app/*/endpoint/*/auto-config/*":     every,
	"app/*/endpoint/*/ca":                every,
	"app/*/endpoint/*/cancel-msgs":       {http.MethodPost},
	"app/*/endpoint/*/mtls":              every,
	"app/*/endpoint/*/mtls-config":       every,
	"app/*/endpoint/*/msg/test-attempt":  {http.MethodPost},
	"app/*/endpoint/*/oauth":             every,
	"app/*/endpoint/*/oauth-config":      every,
	"app/*/endpoint/*/rate-limit-status": {http.MethodGet},
	"app/*/endpoint/*/transformation":    every,
	"app/*/endpoint/*/transformation/**": every,
	"app/*/events":                       every,
	"app/*/inbound/**":                   every,
	"app/*/integration":                  every,
	"app/*/integration/**":               every,
	"app/*/msg/search":                   {http.MethodGet, http.MethodPost},
	"app/*/msg/*/attempt/*/headers":      {http.MethodGet},
	"app/*/msg/*/raw":                    {http.MethodGet},
	"app/*/poller/**":                    every,
	"app/*/polling-endpoint/**":          every,
	"app/*/sink":                         every,
	"app/*/sink/**":                      every,
	"app/*/stats/**":                     every,
	"app/*/stream/**":                    every,
	"connector":                          every,
	"connector/**":                       every,
	"environment/settings":               every,
	"event-type/schema/generate-example": {http.MethodPost},
	"ingest/**":                          every,
	"operational-webhook/**":             every,
	"stats/**":                           every,
	"stream":                             every,
	"stream/**":                          every,
}

// every are the methods of calls.
var every = []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete}

// unbuilt names the Svix call that a request makes; "" = Svix has no such call.
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
