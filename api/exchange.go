package api

import (
	"context"
	"encoding/base64"
	"unicode/utf8"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Exchange is one POST and what was answered.
type Exchange struct {
	StartedAt             timestamp           `json:"started_at"`
	DurationMS            int64               `json:"duration_ms" example:"23"`
	Tries                 []Try               `json:"tries" doc:"The times the request was sent, two at most: a second time if the receiver refused it over HTTP/2 before acting on it, or closed a connection that had been idle. Empty for attempts recorded before tries were."`
	URL                   *string             `json:"url" doc:"What was POSTed to; keys that only read see it without its query. null for attempts recorded before it was kept." example:"https://shop.example/hooks"`
	StatusCode            *int                `json:"status_code" doc:"null = no answer came." example:"503"`
	Error                 *string             `json:"error" doc:"null = received." example:"503 Service Unavailable"`
	RequestHeaders        map[string]string   `json:"request_headers" doc:"Signatures and custom values are masked."`
	RequestBody           *string             `json:"request_body" doc:"The first 64 KiB of what was POSTed. null once the event is erased, and for attempts recorded before url was kept."`
	RequestBodyTruncated  bool                `json:"request_body_truncated" doc:"There was more of the request's body."`
	ResponseHeaders       map[string]string   `json:"response_headers" doc:"All of them; the values of a repeated one are joined by ', '. Secrets that the request held are masked, here and in the body."`
	ResponseHeaderValues  map[string][]string `json:"response_header_values" doc:"The same with each value by itself."`
	ResponseBody          string              `json:"response_body" doc:"The first 16 KiB."`
	ResponseBodyEncoding  *string             `json:"response_body_encoding" doc:"base64 if the body is not UTF-8 text; else null."`
	ResponseBodyTruncated bool                `json:"response_body_truncated" doc:"There was more of the response's body, or it broke off."`
}

// Try is one sending of a request.
type Try struct {
	StartedAt timestamp `json:"started_at"`
	Error     *string   `json:"error" doc:"Of the last try as of the attempt; of one before it, why no answer came." example:"the receiver refused the HTTP/2 request (REFUSED_STREAM)"`
}

const (
	maxShownRequest = 64 << 10 // bytes
	// keptBody is how much of a body was kept of attempts recorded before they said whether there was more.
	keptBody = 16 << 10
)

// exchangeView shows an attempt to the caller of ctx.
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

// triesView is one try like the attempt itself where there were not two.
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

// cutText returns at most limit bytes of text, without half a character at their end.
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
