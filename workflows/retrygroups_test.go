package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRetryGroups_WhatFallsDueTogether(t *testing.T) {
	t.Parallel()
	waits := func(webhook string, all ...time.Duration) []Leftover {
		var left []Leftover
		for _, wait := range all {
			left = append(left, Leftover{Webhook: webhook, Wait: wait})
		}
		return left
	}
	off := Leftover{Webhook: "a", Wait: 10, Due: time.Unix(1, 0), Kind: ForSlot}
	paced := func(webhook string, all ...time.Duration) []Leftover {
		left := waits(webhook, all...)
		for i := range left {
			left[i].Due, left[i].Kind = time.Unix(1, 0), AtRate
		}
		return left
	}
	many := make([]time.Duration, PacedMost+1)
	for name, c := range map[string]struct {
		left []Leftover
		want [][]Leftover
	}{
		"nothing":             {nil, nil},
		"one":                 {waits("a", 10), [][]Leftover{waits("a", 10)}},
		"within a quarter":    {waits("a", 12, 10, 11), [][]Leftover{waits("a", 10, 11, 12)}},
		"beyond":              {waits("a", 13, 10, 12, 14), [][]Leftover{waits("a", 10, 12), waits("a", 13, 14)}},
		"long waits":          {waits("a", time.Hour, time.Hour+30*time.Second, time.Hour+31*time.Second), [][]Leftover{waits("a", time.Hour, time.Hour+30*time.Second), waits("a", time.Hour+31*time.Second)}},
		"due at once":         {waits("a", 0, 1, 0), [][]Leftover{waits("a", 0, 0), waits("a", 1)}},
		"of several webhooks": {append(waits("a", 10, 11), waits("b", 10, 30)...), [][]Leftover{waits("a", 10, 11), waits("b", 10), waits("b", 30)}},
		"without a place":     {append(waits("a", 10, 10), off, off), [][]Leftover{waits("a", 10, 10), {off}, {off}}},
		"at a rate":           {append(waits("a", 10, 10), paced("a", time.Second, 0, 1, time.Second+1)...), [][]Leftover{waits("a", 10, 10), paced("a", 0, 1, time.Second), paced("a", time.Second+1)}},
		"many at a rate":      {append(paced("a", many...), paced("b", 0)...), [][]Leftover{paced("a", many[1:]...), paced("a", 0), paced("b", 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ElementsMatch(t, c.want, retryGroups(c.left))
		})
	}
}
