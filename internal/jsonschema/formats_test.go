package jsonschema

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Cases that the official suite does not have, or has only in later versions.
func TestSchemaFormats_BeyondTheSuite(t *testing.T) {
	t.Parallel()
	for format, c := range map[string]struct{ valid, invalid []string }{
		"uri-template": {
			[]string{
				"", "/starred{/owner}{/repo}", "https://api.github.com/repos/o/r/{archive_format}{/ref}", "{a.b}", "{+x,y*}", "{#x:4}", "{v:9999}", "a'b", "{%41}",
				"a%41b", "é{x}", "{?q,lang}", "{&x}", "{;x}", "{.x}",
			},
			[]string{"{/owner", "owner}", "{}", "{a,,b}", "{a,}", "{v:0}", "{v:01}", "{v:10000}", "{a..b}", "{a b}", "a b", "{,+x}", "{var=d}", "%4", "a<b", "{{a}}", "{é}"},
		},
		"uri": {
			[]string{
				"a:", "a:b", "a://", "http://h:80/", "http://h:/", "http://u:p@h/?a/?:@#b/?", "http://[::1]:80/", "http://[v1.x:y]/", "file:///etc", "A+-.1:x",
				"http://%41/", "urn:a:b", "data:,x", "http:a:b", "mailto:a@b?subject=x",
			},
			[]string{
				"", "a", "//h/", "/a", "1a:b", ":a", "http://h:8a/", "http://[::1/", "http://[::1]x/", "http://[::1%25eth0]/", "http://[1.2.3.4]/", "http://a[b]/",
				"a:%4", "a:%4g", "a:é", "a: b", "a:#b#c", "a:\x7f", "é:a", "http://[v.x]/",
			},
		},
		"uri-reference": {[]string{"", "a", "//h", "/a:b", "a/b:c", "?q", "#f", "./a:b"}, []string{"a b", "\\a", "1a:b", "#a#b", "//[::g]", "é"}},
		"iri":           {[]string{"http://é/é?\ue000#é", "a:é", "http://ƒøø.ßår/?q=\U000f0000"}, []string{"é", "a:\ue000", "a:é é", "a:\ufffe", "a:\u0080"}},
		"iri-reference": {[]string{"é", "/é", "#é", "//é"}, []string{"\\é", "é é", "1é:a"}},
		"email": {
			[]string{"a@b", "a@[IPv6:::1]", "a@[ipv6:::]", `"a\"b"@c`, `"a b@c"@d`, "a+b@xn--hxajbheg2az3al.xn--jxalpdlp", "test@c--n.com"},
			[]string{"@b", "a@", "a", "a..b@c", ".a@c", `"a"b@c`, `"a\"@c`, "a@b.", "a@-b", "a@b c", "a@[1.2.3]", "a@[::1]", "é@b", "a@é", "a@b@c", "a@b_c", "a,b@c",
				strings.Repeat("a", 65) + "@b", "a@" + strings.Repeat("a", 64), "a\x00@b"},
		},
		"idn-email": {[]string{"é@é.example", "실례@실례.테스트", "a@b"}, []string{"é", "a@é é", "é@", "é é@b"}},
		"hostname":  {[]string{"a", "1", "a-b.c", "xn--4gbwdl.xn--wgbh1c", strings.Repeat("a", 63)}, []string{"", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "é", "xn--X", "ab--c", strings.Repeat("a.", 127) + "ab"}},
		"idn-hostname": {
			[]string{"é", "실례。테스트", "a", "l·l"}, []string{"", ".", "é.", "a_b", "〮a", "l·a", strings.Repeat("é", 64), strings.Repeat("a", 10_000), "ü\u0640"},
		},
		"date":                  {[]string{"2024-02-29"}, []string{"2023-02-29", "2024-2-9", "2024-13-01", "+024-01-01", "2024-01-01Z", "२०२४-01-01"}},
		"time":                  {[]string{"23:59:60Z", "23:59:59.123456789+23:59", "01:29:60+01:30", "18:59:60-05:00"}, []string{"24:00:00Z", "00:00:60Z", "+1:00:00Z", "00:00:00", "00:00:00.Z", "00:00:00+1:00"}},
		"date-time":             {[]string{"1998-12-31t23:59:60.5z", "2026-11-28T00:00:00+00:00"}, []string{"2026-11-28 00:00:00Z", "2026-11-28T00:00Z", "2026-11-28", "2026-02-30T00:00:00Z"}},
		"duration":              {[]string{"P1Y2M3DT4H5M6S", "P2W", "PT0S", "P1YT1H", "P01D"}, []string{"P", "PT", "P1YT", "P1Y2D", "PT1H2S", "P1Y2W", "P1W1D", "PT0.5S", "-P1D", "P1", "1D", "P1D\n"}},
		"ipv4":                  {[]string{"0.0.0.0", "255.255.255.255"}, []string{"1.2.3", "1.2.3.4.5", "256.0.0.0", "01.2.3.4", "+1.2.3.4", "1.2.3.4 ", "::1", "1.2.3.4/8", "0x1.2.3.4"}},
		"ipv6":                  {[]string{"::", "::1", "1::2:1.2.3.4", "2001:db8::"}, []string{"1.2.3.4", "::1%eth0", "12345::", "1:2:3:4:5:6:7:8:9", "::1/64", "[::1]", "1::2::3", ":::"}},
		"uuid":                  {[]string{"2EB8AA08-aa98-11ea-b4aa-73b441d16380", "00000000-0000-0000-0000-000000000000"}, []string{"", "2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g", "{2eb8aa08-aa98-11ea-b4aa-73b441d16380}"}},
		"json-pointer":          {[]string{"", "/", "/a~0b~1c", "/é\n"}, []string{"a", "#", "/~", "/~2", "/a~"}},
		"relative-json-pointer": {[]string{"0", "1/a", "10#", "0/"}, []string{"", "/a", "01", "-1", "0##", "0#/a", "+1", "1/~"}},
		"regex":                 {[]string{"(?=a)", `(a)\1`, `(?<n>a)\k<n>`, "[]", "[^]", `\cA`, "(?<=a+)b", "a{1,99999999999}"}, []string{`\a`, "(", "(?P<n>x)", "(?i)a", "(?#c)", "[b-a]", `\Z`, "a**"}},
		"semver":                {[]string{"1.2.3", "1.0.0-alpha.1+build.5"}, []string{"1.2", "01.2.3", "1.0.0-01", "1.0.0+"}},
		"period":                {[]string{"2026-11-28T00:00:00Z/P1D", "P1D/2026-11-28T00:00:00Z"}, []string{"P1D/P1D", "2026-11-28T00:00:00Z"}},
	} {
		for _, s := range c.valid {
			require.True(t, formats[format](s), "%s %q", format, s)
		}
		for _, s := range c.invalid {
			require.False(t, formats[format](s), "%s %q", format, s)
		}
	}
}

// "format" refuses data up to draft-07 and is an annotation from 2019-09 on. Unknown formats never refuse data.
func TestSchemaFormats_FormatIsAssertedByDraft(t *testing.T) {
	t.Parallel()
	for schema, refuses := range map[string]bool{
		"http://json-schema.org/draft-04/schema#": true, "http://json-schema.org/draft-06/schema#": true, "http://json-schema.org/draft-07/schema": true,
		"https://json-schema.org/draft/2019-09/schema": false, "https://json-schema.org/draft/2020-12/schema": false,
	} {
		for format := range formats {
			s := compiled(t, `{"$schema":"`+schema+`","format":"`+format+`"}`)
			violations, err := s.Validate(t.Context(), []byte(`"( \u0000"`), budgetOf(""))
			require.NoError(t, err)
			require.Equal(t, refuses, len(violations) == 1, "%s %s", schema, format)
			violations, err = s.Validate(t.Context(), []byte(`7`), budgetOf(""))
			require.NoError(t, err)
			require.Empty(t, violations)
		}
		violations, err := compiled(t, `{"$schema":"`+schema+`","format":"no-such"}`).Validate(t.Context(), []byte(`"x"`), budgetOf(""))
		require.NoError(t, err)
		require.Empty(t, violations)
	}
}
