package jsonschema

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Patterns have the meaning of ECMA-262, even where Go's engine reads the same text differently.
func TestSchemaPatterns_AreThoseOfECMA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern      string
		match, other []string
	}{
		{`^\d+$`, []string{"1"}, []string{"१", "1\n", ""}},
		{`^\w\W$`, []string{"a-", "_é"}, []string{"é-", "ab"}},
		{`^\s$`, []string{" ", "\v", "\u00a0", "\u2028", "\ufeff", "\u3000"}, []string{"x", "\u180e", "\u200b"}},
		{`^\S$`, []string{"x", "\u180e", "é", "🐲"}, []string{" ", "\v", "\u00a0", "\u2028", "\ufeff", "\u3000"}},
		{`^[\s,]$`, []string{",", "\u00a0"}, []string{"x"}},
		{`^[^\s,]$`, []string{"x"}, []string{",", "\u00a0"}},
		{`^[\S]$`, []string{"x"}, []string{"\u00a0"}},
		{`^.$`, []string{"x", "🐲", "\v"}, []string{"\n", "\r", "\u2028", "\u2029", "xy"}},
		{`a$`, []string{"ba"}, []string{"a\n"}},
		{`^[]$`, nil, []string{"", "x"}},
		{`^[^]$`, []string{"\n", "x"}, []string{""}},
		{`^\cC\cc$`, []string{"\x03\x03"}, []string{"CC"}},
		{`^\0\x41\u0042\u{43}\ud83d\udc32$`, []string{"\x00ABC🐲"}, []string{"0ABC🐲"}},
		{`^\/\-\_\.\@\{\}$`, []string{"/-_.@{}"}, []string{"x"}},
		{`^{}x{,2}]$`, []string{"{}x{,2}]"}, []string{"xx"}},
		{`^[a\-z]+$`, []string{"a-z"}, []string{"b"}},
		{`^[\w-.]+$`, []string{"a-."}, []string{"+"}},
		{`^[\b]$`, []string{"\b"}, []string{"b"}},
		{`\bfoo\b`, []string{"a foo b"}, []string{"afoob"}},
		{`^(?<year>\d{4})-(?:0|1)$`, []string{"2026-0"}, []string{"226-0"}},
		{`^a{2,3}?b+?$`, []string{"aab", "aaabb"}, []string{"ab"}},
		{`^\p{Letter}+$`, []string{"Éa"}, []string{"1"}},
		{`^\p{L}\p{Lu}\P{Lu}\p{Script=Greek}\p{gc=Nd}$`, []string{"aBcα1"}, []string{"aBCα1"}},
		{`^\p{White_Space}\p{Alphabetic}\p{Lowercase}\p{Uppercase}$`, []string{" aªA"}, []string{"aaaa"}},
		{`^🐲*$`, []string{"", "🐲🐲"}, []string{"🐉"}},
		{`^(?!test)(?=.*\d)(?=.*[A-Z]).{4,}$`, []string{"abC1"}, []string{"testC1", "abcd", "abC"}},
		{`^(?!x)a|^(?!y)b|c$`, []string{"a", "b", "xc"}, []string{"xa", "yb"}},
		{`^[a-z]+(?<!-x)$`, []string{"ax"}, []string{"a-x", "1"}},
		{`^[a-z-]+(?<!-)$`, []string{"a-x"}, []string{"a-"}},
		{`^[a-z-]+(?<=-)$`, []string{"a-"}, []string{"ax"}},
		{``, []string{"", "x"}, nil},
		{`a|`, []string{"", "x"}, nil},
		{`^(a|b)*(?:)$`, []string{"", "ab"}, []string{"c"}},
		{`é`, []string{"é"}, []string{"e"}},
		{`a#b c`, []string{"a#b c"}, []string{"ab"}},
	} {
		p, err := compilePattern(c.pattern)
		require.NoError(t, err, c.pattern)
		require.True(t, isPattern(c.pattern), c.pattern)
		e := evaluation{ctx: t.Context(), budget: &Budget{steps: 1 << 40}}
		for _, s := range c.match {
			require.True(t, e.matches(p, s), "%s on %q", c.pattern, s)
		}
		for _, s := range c.other {
			require.False(t, e.matches(p, s), "%s on %q", c.pattern, s)
		}
	}
}

func TestSchemaPatterns_WhatIsNoPatternIsRefused(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		`(`, `)`, `a)`, `[a`, `[`, `[^`, `[a-`, `*a`, `a**`, `a{2}{3}`, `{2}`, `(?x)`, `(?<a`, `\`, `\a`, `\e`, `\Z`, `\q`, `\u12`, `\u{110000}`, `\x1`,
		`\c1`, `\p`, `\p{`, `\p{Nope}`, `\p{Script=Nope}`, `\p{Foo=L}`, `[z-a]`, `a{3,2}`, `\01`, `^(abc]`, `(?`, `(?=a`, `\k<a`,
	} {
		_, err := compilePattern(pattern)
		require.Error(t, err, pattern)
		require.False(t, isPattern(pattern), pattern)
	}
}

func TestSchemaPatterns_ThatNeedBacktrackingAreRefused(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		`(a)\1`, `(?<n>a)\k<n>`, `a(?=b)`, `(?=a)b`, `(?:^(?=a))b`, `(?<=a)b`, `^((?!foo).)*$`, `^a(?!b)c$`, `(?<!a)b$`, `^\P{White_Space}$`,
	} {
		_, err := compilePattern(pattern)
		require.ErrorContains(t, err, "supported", pattern)
		require.True(t, isPattern(pattern), "as a format it is right: %s", pattern)
	}
}

func TestSchemaPatterns_ALongTextIsMatchedAsAShortOne(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ab", 200_000)
	for pattern, want := range map[string]bool{`^[a-z]+$`: true, `^(ab)+$`: true, `c`: false, `b$`: true, `a$`: false, `^(?!b)`: true, `(ab){3}b`: false} {
		p, err := compilePattern(pattern)
		require.NoError(t, err)
		e := evaluation{ctx: t.Context(), budget: &Budget{steps: 1 << 40}}
		require.Equal(t, want, e.matches(p, long), pattern)
		require.NoError(t, e.stopped)
	}
}
