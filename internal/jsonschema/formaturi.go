package jsonschema

import "strings"

// The characters of RFC 3986 in addition to letters and digits.
const (
	unreserved = "-._~"
	subDelims  = "!$&'()*+,;="
	pathChars  = unreserved + subDelims + ":@"
)

// isURI: RFC 3986, with the letters of RFC 3987 if international. An absolute one has a scheme.
func isURI(s string, international, absolute bool) bool {
	has := func(part, allowed string) bool { return isURIPart(part, allowed, international, false) }
	s, fragment, _ := strings.Cut(s, "#")
	s, query, _ := strings.Cut(s, "?")
	if !has(fragment, pathChars+"/?") || !isURIPart(query, pathChars+"/?", international, international) {
		return false
	}
	scheme, rest, found := strings.Cut(s, ":")
	if found && isScheme(scheme) {
		s = rest
	} else if absolute || found && !strings.Contains(scheme, "/") {
		return false // a relative path has no colon in its first segment
	}
	if after, ok := strings.CutPrefix(s, "//"); ok {
		authority, path := after, ""
		if i := strings.IndexByte(after, '/'); i >= 0 {
			authority, path = after[:i], after[i:]
		}
		if !isAuthority(authority, has) {
			return false
		}
		s = path
	}
	return has(s, pathChars+"/")
}

func isScheme(s string) bool {
	for i, c := range s {
		if !isAlphanumeric(c) && !strings.ContainsRune("+-.", c) || i == 0 && (c < 'A' || c > 'z') {
			return false
		}
	}
	return s != ""
}

func isAuthority(s string, has func(part, allowed string) bool) bool {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if !has(s[:i], unreserved+subDelims+":") {
			return false
		}
		s = s[i+1:]
	}
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 < len(s) && s[end+1] != ':' {
			return false
		}
		if !isIPLiteral(s[1:end]) {
			return false
		}
		host, port = "", strings.TrimPrefix(s[end+1:], ":")
	} else if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
	}
	return (port == "" || isDigits(port)) && has(host, unreserved+subDelims)
}

func isIPLiteral(s string) bool {
	if len(s) < 4 || s[0] != 'v' && s[0] != 'V' {
		return isIPv6(s)
	}
	version, address, ok := strings.Cut(s[1:], ".")
	return ok && version != "" && strings.Trim(version, "0123456789abcdefABCDEF") == "" && address != "" &&
		isURIPart(address, unreserved+subDelims+":", false, false) && !strings.Contains(address, "%")
}

// isURIPart reports whether a part has only letters, digits, allowed characters, and bytes as %xx.
func isURIPart(s, allowed string, international, private bool) bool {
	for i, c := range s {
		switch {
		case isAlphanumeric(c):
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
		case c < 0x80:
			if !strings.ContainsRune(allowed, c) {
				return false
			}
		case !international || !isIRIChar(c) && (!private || !isPrivateUse(c)):
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// isIRIChar: ucschar of RFC 3987.
func isIRIChar(c rune) bool {
	switch {
	case c < 0x10000:
		return c >= 0xa0 && c <= 0xd7ff || c >= 0xf900 && c <= 0xfdcf || c >= 0xfdf0 && c <= 0xffef
	case c >= 0xe0000:
		return c >= 0xe1000 && c <= 0xefffd
	default:
		return c&0xffff <= 0xfffd
	}
}

func isPrivateUse(c rune) bool {
	return c >= 0xe000 && c <= 0xf8ff || c >= 0xf0000 && c&0xffff <= 0xfffd
}

// isURITemplate: RFC 6570, with its erratum that allows an apostrophe.
func isURITemplate(s string) bool {
	for s != "" {
		i := strings.IndexByte(s, '{')
		if i < 0 {
			return isTemplateText(s)
		}
		end := strings.IndexByte(s, '}')
		if end < i || !isTemplateText(s[:i]) || !isTemplateExpression(s[i+1:end]) {
			return false
		}
		s = s[end+1:]
	}
	return true
}

func isTemplateText(s string) bool {
	for i, c := range s {
		switch {
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
		case c <= ' ' || c == 0x7f || strings.ContainsRune("\"<>\\^`{|}", c):
			return false
		case c >= 0x80 && !isIRIChar(c) && !isPrivateUse(c):
			return false
		}
	}
	return true
}

func isTemplateExpression(s string) bool {
	if s != "" && strings.IndexByte("+#./;?&=,!@|", s[0]) >= 0 {
		s = s[1:]
	}
	for variable := range strings.SplitSeq(s, ",") {
		name, prefix, cut := strings.Cut(variable, ":")
		if cut && (!isDigits(prefix) || prefix[0] == '0' || len(prefix) > 4) {
			return false
		}
		if !cut {
			name = strings.TrimSuffix(name, "*")
		}
		for part := range strings.SplitSeq(name, ".") {
			if part == "" || !isURIPart(part, "_", false, false) {
				return false
			}
		}
	}
	return true
}
