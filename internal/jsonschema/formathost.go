package jsonschema

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

const maxHost = 253 // bytes of a name without a final dot

// isHostname: RFC 1123. A label in Punycode must be one that IDNA 2008 makes.
func isHostname(s string) bool {
	if len(s) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isHostLabel(label) {
			return false
		}
		if len(label) >= 4 && strings.EqualFold(label[:4], "xn--") && !isIDNHostname(label) {
			return false
		}
	}
	return true
}

func isHostLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range label {
		if !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return len(label) < 4 || label[2:4] != "--" || strings.EqualFold(label[:4], "xn--")
}

// idna2008 checks names as they are, without mapping them first.
var idna2008 = idna.New(idna.ValidateLabels(true), idna.VerifyDNSLength(true), idna.StrictDomainName(true), idna.BidiRule())

// dots separate labels of an international name (RFC 3490).
var dots = strings.NewReplacer("。", ".", "．", ".", "｡", ".")

// isIDNHostname: RFC 5890 to 5893.
func isIDNHostname(s string) bool {
	if len(s) > 4*maxHost {
		return false
	}
	s = dots.Replace(s)
	ascii, err := idna2008.ToASCII(s)
	if err != nil || len(ascii) > maxHost {
		return false
	}
	plain, err := idna2008.ToUnicode(s)
	if err != nil {
		return false
	}
	for label := range strings.SplitSeq(plain, ".") {
		if !isIDNLabel([]rune(label)) {
			return false
		}
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if !isHostLabel(label) {
			return false
		}
	}
	return true
}

// isIDNLabel applies the rules of RFC 5892 for single characters, which the library leaves out.
func isIDNLabel(label []rune) bool {
	var arabic, extended bool
	for i, c := range label {
		switch {
		case strings.ContainsRune("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b", c): // disallowed
			return false
		case c == '\u00b7': // middle dot: between two l
			if i == 0 || i == len(label)-1 || label[i-1] != 'l' || label[i+1] != 'l' {
				return false
			}
		case c == '\u0375': // Greek keraia: before Greek
			if i == len(label)-1 || !unicode.Is(unicode.Greek, label[i+1]) {
				return false
			}
		case c == '\u05f3' || c == '\u05f4': // Hebrew geresh: after Hebrew
			if i == 0 || !unicode.Is(unicode.Hebrew, label[i-1]) {
				return false
			}
		case c == '\u30fb': // Katakana middle dot: beside kana or Han
			if !hasKana(label) {
				return false
			}
		case c >= 0x660 && c <= 0x669:
			arabic = true
		case c >= 0x6f0 && c <= 0x6f9:
			extended = true
		}
	}
	return !arabic || !extended
}

func hasKana(label []rune) bool {
	for _, c := range label {
		if c != '\u30fb' && unicode.In(c, unicode.Hiragana, unicode.Katakana, unicode.Han) {
			return true
		}
	}
	return false
}
