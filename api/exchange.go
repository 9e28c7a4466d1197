package api

import (
	"context"
	"encoding/base64"
	"unicode/utf8"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Exchange is one POST with its answer.
type Exchange struct {
	StartedAt             timestamp           `json:"started_at"`
	DurationMS            int64               `json:"duration_ms" example:"23"`
	Tries                 []Try               `json:"tries" doc:"Each time the request was sent, at most twice. It is sent a second time if the receiver refused it over HTTP/2 before acting on it, or closed an idle connection. Empty for attempts that older versions recorded."`
	URL                   *string             `json:"url" doc:"The URL of the POST. Keys with the role read see it without its query. null for attempts that older versions recorded." example:"https://shop.example/hooks"`
	StatusCode            *int                `json:"status_code" doc:"null = no answer came." example:"503"`
	Error                 *string             `json:"error" doc:"null = received." example:"503 Service Unavailable"`
	RequestHeaders        map[string]string   `json:"request_headers" doc:"Signatures and custom values are masked."`
	RequestBody           *string             `json:"request_body" doc:"The first 64 KiB of the request's body. null once the event is erased, and for attempts whose url is null."`
	RequestBodyTruncated  bool                `json:"request_body_truncated" doc:"The request's body was longer."`
	ResponseHeaders       map[string]string   `json:"response_headers" doc:"All response headers. Repeated values are joined by ', '. Secrets of the request are masked here and in the body."`
	ResponseHeaderValues  map[string][]string `json:"response_header_values" doc:"The same headers, with each value listed separately."`
	ResponseBody          string              `json:"response_body" doc:"The first 16 KiB."`
	ResponseBodyEncoding  *string             `json:"response_body_encoding" doc:"base64 if the body is not UTF-8 text; else null."`
	ResponseBodyTruncated bool                `json:"response_body_truncated" doc:"The response's body was longer, or was cut off."`
}

// Try is one transmission of a request.
type Try struct {
	StartedAt timestamp `json:"started_at"`
	Error     *string   `json:"error" doc:"For the last try, the attempt's error. For an earlier one, why no answer came." example:"the receiver refused the HTTP/2 request (REFUSED_STREAM)"`
}

const (
	maxShownRequest = 64 << 10 // bytes
	// keptBody is how much of a body was kept for attempts recorded before body truncation was.
	keptBody = 16 << 10
)

// exchangeView shows an attempt to the caller in ctx.
func exchangeView(ctx context.Context, a *models.Attempt) Exchange {
	v := Exchange{StartedAt: timestamp(a.StartedAt), DurationMS: a.DurationMS, Tries: triesView(a), URL: orNull(a.URL),
		StatusCode: orNull(a.StatusCode), Error: orNull(a.Error),
		RequestHeaders: orEmpty(a.RequestHeaders), ResponseHeaders: orEmpty(a.ResponseHeaders), ResponseHeaderValues: a.ResponseHeaderValues(),
		ResponseBody:          string(a.ResponseBody),
		ResponseBodyTruncated: a.Detail.BodyTruncated || a.URL == "" && len(a.ResponseBody) >= keptBody}
	if !owners.grants(caller(ctx)) {
		v.URL = orNull(service.URLWithoutQuery(a.URL))
	}
	if a.RequestBody != nil {
		shown := cutText(a.RequestBody, maxShownRequest)
		v.RequestBody, v.RequestBodyTruncated = new(string(shown)), len(shown) < len(a.RequestBody)
	}
	if !utf8.Valid(a.ResponseBody) {
		v.ResponseBody = base64.StdEncoding.EncodeToString(a.ResponseBody)
		v.ResponseBodyEncoding = new("base64")
	}
	return v
}

// triesView shows an attempt's tries. If there was only one it is like the attempt itself.
func triesView(a *models.Attempt) []Try {
	switch {
	case a.URL == "":
		return []Try{}
	case len(a.Detail.Tries) == 0:
		return []Try{{StartedAt: timestamp(a.StartedAt), Error: orNull(a.Error)}}
	}
	tries := make([]Try, len(a.Detail.Tries))
	for i, t := range a.Detail.Tries {
		tries[i] = Try{StartedAt: timestamp(t.StartedAt), Error: orNull(t.Error)}
	}
	return tries
}

// cutText returns at most limit bytes of text, and never half a character.
func cutText(text []byte, limit int) []byte {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
