package config

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Secret is a value that is only shown on request: every way of printing it, in logs, errors or JSON, shows a mask.
type Secret string

const mask = "***"

var (
	_ fmt.Stringer           = Secret("")
	_ fmt.GoStringer         = Secret("")
	_ slog.LogValuer         = Secret("")
	_ encoding.TextMarshaler = Secret("")
)

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask, or "" for an empty secret, so that one can see whether it is set.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString is String for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue is String for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String for JSON and similar formats. The result cannot be read back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Duration is a time.Duration that can also be written in days of 24 hours: "14d", "1d12h".
type Duration time.Duration

var _ encoding.TextUnmarshaler = (*Duration)(nil)

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns whole days as "14d", anything else as time.Duration does.
func (d Duration) String() string {
	if days := d.Std() / day; d != 0 && d.Std()%day == 0 {
		return strconv.FormatInt(int64(days), 10) + "d"
	}
	return d.Std().String()
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

const (
	day     = 24 * time.Hour
	maxDays = math.MaxInt64/int64(day) - 1 // a day of room for what follows the days
)

// UnmarshalText reads days, a duration as time.ParseDuration reads it, or days followed by a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	input := string(text)
	daysText, rest, hasDays := strings.Cut(input, "d")
	if !hasDays {
		daysText, rest = "0", input
	} else if rest == "" {
		rest = "0"
	}
	days, err := strconv.ParseInt(daysText, 10, 64)
	if err != nil || days < 0 || days > maxDays {
		return fmt.Errorf("%q is not a duration such as 14d or 36h", input)
	}
	parsed, err := time.ParseDuration(rest)
	if err != nil || hasDays && (parsed < 0 || parsed >= day) {
		return fmt.Errorf("%q is not a duration such as 14d or 36h", input)
	}
	*d = Duration(time.Duration(days)*day + parsed)
	return nil
}

// Networks is a comma-separated list of address prefixes.
type Networks []netip.Prefix

var _ encoding.TextUnmarshaler = (*Networks)(nil)

// UnmarshalText reads comma-separated CIDRs and single addresses, with optional blanks. Its error names every invalid
// entry.
func (n *Networks) UnmarshalText(text []byte) error {
	var parsed Networks
	var problems []error
	for entry := range strings.SplitSeq(string(text), ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(entry)
		if err != nil {
			addr, addrErr := netip.ParseAddr(entry)
			if addrErr != nil || addr.Zone() != "" {
				problems = append(problems, fmt.Errorf("%q is not a network such as 10.0.0.0/8", entry))
				continue
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		parsed = append(parsed, prefix.Masked())
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	*n = parsed
	return nil
}
