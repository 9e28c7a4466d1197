package jsonschema

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// format is a "format" that data must have.
type format struct {
	name  string
	check func(string) bool
}

// formats by name, the same in every draft. All take time proportional to the text.
var formats = map[string]func(string) bool{
	"date":                  isDate,
	"time":                  isTime,
	"date-time":             isDateTime,
	"duration":              isDuration,
	"period":                isPeriod,
	"email":                 func(s string) bool { return isEmail(s, false) },
	"idn-email":             func(s string) bool { return isEmail(s, true) },
	"hostname":              isHostname,
	"idn-hostname":          isIDNHostname,
	"ipv4":                  isIPv4,
	"ipv6":                  isIPv6,
	"uri":                   func(s string) bool { return isURI(s, false, true) },
	"uri-reference":         func(s string) bool { return isURI(s, false, false) },
	"iri":                   func(s string) bool { return isURI(s, true, true) },
	"iri-reference":         func(s string) bool { return isURI(s, true, false) },
	"uri-template":          isURITemplate,
	"json-pointer":          isPointer,
	"relative-json-pointer": isRelativePointer,
	"uuid":                  uuidForm.MatchString,
	"regex":                 isPattern,
	"semver":                semverForm.MatchString,
}

var (
	uuidForm     = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)
	dateForm     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	timeForm     = regexp.MustCompile(`^([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[zZ]|([+-])([0-9]{2}):([0-9]{2}))$`)
	durationForm = regexp.MustCompile(`^P(?:[0-9]+W|` + durationDate + `(?:T` + durationTime + `)?|T` + durationTime + `)$`)
	pointerForm  = regexp.MustCompile(`^(?:/(?:[^~/]|~[01])*)*$`)
	relativeForm = regexp.MustCompile(`^(?:0|[1-9][0-9]*)(#|(?:/(?:[^~/]|~[01])*)*)$`)
	semverForm   = regexp.MustCompile(`^(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)` +
		`(?:-(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?` +
		`(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$`)
)

// The parts of a duration: each unit may be followed by the next smaller one, and by no other.
const (
	durationDate = `(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)`
	durationTime = `(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)`
)

// isDate: full-date of RFC 3339.
func isDate(s string) bool {
	if len(s) != len(time.DateOnly) || !dateForm.MatchString(s) {
		return false
	}
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// isTime: full-time of RFC 3339. A leap second is one at 23:59:60 UTC.
func isTime(s string) bool {
	const longest = 100 // longest fraction of a second
	if len(s) > longest {
		return false
	}
	m := timeForm.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	at := func(i int) int {
		n, _ := strconv.Atoi(m[i]) // digits, or "" as 0
		return n
	}
	hour, minute, second, offset := at(1), at(2), at(3), at(5)*60+at(6)
	if hour > 23 || minute > 59 || second > 60 || at(5) > 23 || at(6) > 59 {
		return false
	}
	if m[4] == "+" {
		offset = -offset
	}
	const day = 24 * 60
	return second < 60 || (hour*60+minute+offset+2*day)%day == day-1
}

func isDateTime(s string) bool {
	const date = len(time.DateOnly)
	return len(s) > date && (s[date] == 'T' || s[date] == 't') && isDate(s[:date]) && isTime(s[date+1:])
}

// isDuration: RFC 3339, appendix A.
func isDuration(s string) bool { return durationForm.MatchString(s) }

// isPeriod: RFC 3339, appendix A: two times, or one and a duration.
func isPeriod(s string) bool {
	start, end, ok := strings.Cut(s, "/")
	return ok && (isDateTime(start) && (isDateTime(end) || isDuration(end)) || isDuration(start) && isDateTime(end))
}

func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && a.Zone() == ""
}

// isPointer: RFC 6901.
func isPointer(s string) bool { return pointerForm.MatchString(s) }

func isRelativePointer(s string) bool { return relativeForm.MatchString(s) }

// isEmail: the mailbox of RFC 5321, with the letters of RFC 6531 if international.
func isEmail(s string, international bool) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || len(s) > 320 {
		return false
	}
	local, domain := s[:at], s[at+1:]
	if strings.HasPrefix(local, `"`) {
		if !isQuotedText(local, international) {
			return false
		}
	} else if !isDotText(local, international) {
		return false
	}
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		const tag = "IPv6:"
		if len(literal) > len(tag) && strings.EqualFold(literal[:len(tag)], tag) {
			return ok && isIPv6(literal[len(tag):])
		}
		return ok && isIPv4(literal)
	}
	if international {
		return isIDNHostname(domain)
	}
	return isHostname(domain)
}

func isDotText(s string, international bool) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for _, c := range atom {
			if !isAlphanumeric(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", c) && (c < 0x80 || !international) {
				return false
			}
		}
	}
	return true
}

func isQuotedText(s string, international bool) bool {
	if len(s) < 2 || !strings.HasSuffix(s, `"`) {
		return false
	}
	escaped := false
	for _, c := range s[1 : len(s)-1] {
		switch {
		case c < ' ' || c == 0x7f || c >= 0x80 && !international:
			return false
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			return false
		}
	}
	return !escaped
}

func isAlphanumeric(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
