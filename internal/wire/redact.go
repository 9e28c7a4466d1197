package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of the search for secrets in answers, in bytes.
const (
	// minSecret is the shortest value that counts as a secret: shorter ones occur in many texts by chance.
	minSecret = 4
	// minPart is the shortest part of a value that is searched for separately.
	minPart = 8
	// minInside is the shortest value that is searched for within longer base64 text.
	minInside = 6
)

// Secrets are the values of one message that must be masked in the stored answer, because receivers echo what they
// get. The zero value has none. It is not for concurrent use.
type Secrets struct {
	of       Webhook
	sent     http.Header
	gathered bool // most answers are too short for a secret: values are gathered for the first one that may have one
	values   []string
	shortest int // bytes; no value is shorter in any of its encodings
	find     *finder
}

// SecretsOf returns the secrets of a message that was made from wh: the signing secrets, with the keys in them,
// signatures and tokens, the values of custom headers, and those of the URL's query.
func SecretsOf(wh Webhook, sent http.Header) *Secrets { return &Secrets{of: wh, sent: sent} }

func (s *Secrets) gather() {
	if s.gathered {
		return
	}
	s.gathered = true
	wh, sent := s.of, s.sent
	for _, secret := range wh.Secrets {
		s.add(secret)
		for _, prefix := range []string{symmetricPrefix, privatePrefix} {
			if encoded, ok := strings.CutPrefix(secret, prefix); ok {
				s.add(encoded)
				s.addDecoded(encoded)
			}
		}
	}
	for name, value := range wh.Headers {
		if !public[http.CanonicalHeaderKey(name)] {
			s.addWithParts(value)
		}
	}
	for name, values := range sent {
		if _, own := wh.Headers[name]; !own && isSecret(name) {
			for _, value := range values {
				s.addWithParts(value)
			}
		}
	}
	if _, query, ok := strings.Cut(wh.URL, "?"); ok && len(query) >= minPart {
		s.add(query)
		for pair := range strings.SplitSeq(query, "&") {
			_, value, _ := strings.Cut(pair, "=")
			s.addParts(value, "")
		}
	}
}

// public are headers that webhooks set and whose values are not secret, but occur in many answers.
var public = map[string]bool{"Accept": true, "Accept-Language": true, "Cache-Control": true}

// words are values that occur in answers by chance.
var words = []string{"true", "false", "null", "none"}

func (s *Secrets) add(value string) {
	if len(value) < minSecret || slices.Contains(s.values, value) || slices.Contains(words, strings.ToLower(value)) {
		return
	}
	s.values = append(s.values, value)
	if s.shortest == 0 || len(value) < s.shortest {
		s.shortest = len(value)
	}
}

// addWithParts adds a header's value, and the parts that a receiver may extract from it: the credentials of an
// Authorization header, a signature without its version, a cookie's value.
func (s *Secrets) addWithParts(value string) {
	value = strings.TrimSpace(value)
	s.add(value)
	s.addParts(value, " \t,;=:&\"")
	scheme, encoded, _ := strings.Cut(value, " ")
	if strings.EqualFold(scheme, "Basic") {
		if plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded)); err == nil {
			s.add(string(plain))
			_, password, _ := strings.Cut(string(plain), ":")
			s.add(password)
		}
	}
}

func (s *Secrets) addParts(value, separators string) {
	for part := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if len(part) < minPart {
			continue
		}
		s.add(part)
		if plain, err := url.QueryUnescape(part); err == nil {
			s.add(plain)
		}
		s.addDecoded(part)
	}
}

// addDecoded adds the bytes of a base64 key or signature.
func (s *Secrets) addDecoded(encoded string) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err == nil && len(raw) >= 16 {
		s.add(string(raw))
	}
}

// Mask returns text with [Masked] in place of every secret: as it was sent, in base64 or hexadecimal digits, and each
// of these percent-encoded or escaped as in JSON, HTML or JSON within JSON. If text was cut at its end, a possible
// beginning of a secret there is masked too. If there is no secret it returns text itself.
func (s *Secrets) Mask(text []byte, cut bool) []byte {
	if len(text) == 0 || len(text) < minSecret && !cut {
		return text
	}
	if s.gather(); len(s.values) == 0 || len(text) < s.shortest && !cut {
		return text
	}
	if s.find == nil {
		s.find = newFinder(s.values)
	}
	spans := s.search(text, nil, cut, escapesWithin)
	for i := range spans {
		spans[i] = wholeCharacters(text, spans[i])
	}
	return overwrite(text, spans)
}

// wholeCharacters extends a span to whole characters of UTF-8 text: the bytes of a key may begin like the end of one.
func wholeCharacters(text []byte, s span) span {
	inside := func(i int) bool { return i > 0 && i < len(text) && !utf8.RuneStart(text[i]) }
	for n := 1; n < utf8.UTFMax && inside(s.start); n++ {
		s.start--
	}
	for n := 1; n < utf8.UTFMax && inside(s.end); n++ {
		s.end++
	}
	return s
}

// escapesWithin is how deeply nested escapes are decoded.
const escapesWithin = 2

// search returns where in an answer its secrets are. text is the answer or a decoded form of it; at has the position
// in the answer of each of its bytes, nil if it is the answer itself.
func (s *Secrets) search(text []byte, at []int, cut bool, depth int) []span {
	spans := s.find.spans(text)
	if cut {
		spans = append(spans, s.find.begun(text)...)
	}
	if at != nil {
		for i, found := range spans {
			spans[i] = span{at[found.start], at[found.end]}
		}
	}
	if depth == 0 {
		return spans
	}
	for _, kind := range escapes {
		decoded, from := unescape(text, kind)
		if from == nil {
			continue
		}
		if at != nil {
			for i := range from {
				from[i] = at[from[i]]
			}
		}
		spans = append(spans, s.search(decoded, from, cut, depth-1)...)
	}
	return spans
}

// MaskHeader returns an answer's headers with every secret masked, also in names.
func (s *Secrets) MaskHeader(h http.Header) http.Header {
	masked := make(http.Header, len(h))
	for name, values := range h {
		if len(values) == 1 && isFraming(name, values[0]) {
			masked[name] = values
			continue
		}
		kept := make([]string, len(values))
		for i, value := range values {
			kept[i] = string(s.Mask([]byte(value), false))
		}
		name = s.maskName(name)
		masked[name] = append(masked[name], kept...)
	}
	return masked
}

// isFraming reports whether a header is one that nearly every answer has, with a value that cannot be a secret.
func isFraming(name, value string) bool {
	switch name {
	case "Content-Length":
		return len(value) < minSecret
	case "Date":
		_, err := http.ParseTime(value)
		return err == nil
	}
	return false
}

// maskName examines a name in lower case, because HTTP changes the case of names.
func (s *Secrets) maskName(name string) string {
	if s.gather(); len(s.values) == 0 || len(name) < s.shortest {
		return name
	}
	lower := strings.ToLower(name)
	for _, value := range s.values {
		if strings.Contains(lower, strings.ToLower(value)) {
			return Masked
		}
	}
	return string(s.Mask([]byte(name), false))
}

// span is a part of a text, from start to before end.
type span struct{ start, end int }

// overwrite replaces spans with [Masked], and touching spans with a single one.
func overwrite(text []byte, spans []span) []byte {
	if len(spans) == 0 {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	out := make([]byte, 0, len(text))
	done, masked := 0, -1
	for _, found := range spans {
		if found.start > done {
			out = append(out, text[done:found.start]...)
		}
		if found.start > masked {
			out = append(out, Masked...)
		}
		done, masked = max(done, found.end), max(masked, found.end)
	}
	return append(out, text[done:]...)
}

// keyLength is how many bytes of a pattern determine its place in a finder. No pattern is shorter.
const keyLength = minSecret

// headLength is how many leading bytes of a value determine the beginnings of its encodings. Base64 makes whole
// characters of them.
const headLength = 9

// finder searches for many values at once, in all their encodings. Most answers contain none of them, so the encodings
// of a value are made only when one of them may begin somewhere.
type finder struct {
	values  []string
	encoded [][]string // encodings of each value; nil until needed
	begins  []begin
	chains  [1 << 9]int // by hash of the key: 1 + the place in begins; 0 = none
}

// begin is the beginning of an encoding of a value. next continues the chain.
type begin struct {
	key         [keyLength]byte
	value, next int
}

func newFinder(values []string) *finder {
	f := &finder{values: values, encoded: make([][]string, len(values)), begins: make([]begin, 0, 12*len(values))}
	for i, value := range values {
		for _, head := range encodings(value[:min(len(value), headLength)]) {
			f.add([keyLength]byte([]byte(head)), i)
		}
	}
	return f
}

func (f *finder) add(key [keyLength]byte, value int) {
	chain := &f.chains[hash(key[:])]
	f.begins = append(f.begins, begin{key, value, *chain})
	*chain = len(f.begins)
}

// patterns returns the encodings of a value.
func (f *finder) patterns(value int) []string {
	if f.encoded[value] == nil {
		f.encoded[value] = encodings(f.values[value])
	}
	return f.encoded[value]
}

func hash(key []byte) uint32 {
	n := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
	return n * 2654435761 >> 23
}

func (f *finder) spans(text []byte) []span {
	var spans []span
	for i := 0; i+keyLength <= len(text); i++ {
		end := 0
		for next := f.chains[hash(text[i:])]; next != 0; {
			b := &f.begins[next-1]
			if next = b.next; b.key != [keyLength]byte(text[i:]) {
				continue
			}
			for _, pattern := range f.patterns(b.value) {
				if len(pattern) <= len(text)-i && string(text[i:i+len(pattern)]) == pattern {
					end = max(end, i+len(pattern))
				}
			}
		}
		if end > 0 {
			spans = append(spans, span{i, end})
		}
	}
	return spans
}

// begun returns the end of a cut text if it may be the beginning of a pattern. An escape may have been cut too.
func (f *finder) begun(text []byte) []span {
	longest := f.suffix(text)
	for _, kind := range escapes {
		tail := max(0, len(text)-maxEscape)
		if i := bytes.LastIndexByte(text[tail:], kind); i >= 0 {
			if n := f.suffix(text[:tail+i]); n > 0 {
				longest = max(longest, n+len(text)-tail-i)
			}
		}
	}
	if longest == 0 {
		return nil
	}
	return []span{{len(text) - longest, len(text)}}
}

// suffix returns how many bytes at the end of text are the beginning of a pattern.
func (f *finder) suffix(text []byte) int {
	longest := 0
	for value := range f.values {
		for _, pattern := range f.patterns(value) {
			for n := min(len(pattern)-1, len(text)); n > longest; n-- {
				if string(text[len(text)-n:]) == pattern[:n] {
					longest = n
				}
			}
		}
	}
	return longest
}

// encodings returns the forms in which a value may occur in an answer, apart from escapes.
func encodings(value string) []string {
	raw := []byte(value)
	digits := hex.EncodeToString(raw)
	found := []string{value, digits, strings.ToUpper(digits), strings.ReplaceAll(value, " ", "+")}
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		found = append(found, alphabet.EncodeToString(raw))
		if len(raw) < minInside {
			continue
		}
		// Within longer text a value can begin at any of three positions within four characters of base64. Characters
		// that also encode neighbouring bytes are left out.
		for shift := range 3 {
			encoded := alphabet.EncodeToString(append(make([]byte, shift), raw...))
			found = append(found, encoded[(shift*8+5)/6:(shift+len(raw))*8/6])
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
