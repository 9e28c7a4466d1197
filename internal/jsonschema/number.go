package jsonschema

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// The bounds of a number that is compared with a schema: within them every comparison is exact, and costs no more than
// reading the number's digits.
const (
	MaxDigits   = 1000 // characters of a number without its exponent
	MaxExponent = 1000 // of ten, in both directions
)

var boundsOfNumbers = fmt.Sprintf("must be a number of at most %d digits, with an exponent between -%d and %d", MaxDigits, MaxExponent, MaxExponent)

// decimal is a number as it was written: 0.digits × 10^exponent. Digits begin and end with a non-zero digit; zero has
// none. Two decimals are the same number if and only if they are equal.
type decimal struct {
	digits   string
	exponent int
	negative bool
}

// parseDecimal reads a JSON number, and reports whether it is within the bounds.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	s, d.negative = strings.CutPrefix(s, "-")
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(strings.TrimPrefix(s[i+1:], "+"))
		if err != nil || n > MaxExponent || n < -MaxExponent {
			return decimal{}, false
		}
		s, d.exponent = s[:i], n
	}
	if len(s) > MaxDigits {
		return decimal{}, false
	}
	whole, fraction, _ := strings.Cut(s, ".")
	d.exponent += len(whole)
	if fraction != "" {
		whole += fraction
	}
	d.digits = strings.TrimLeft(whole, "0")
	d.exponent -= len(whole) - len(d.digits)
	d.digits = strings.TrimRight(d.digits, "0")
	if d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

func (d decimal) isInteger() bool { return len(d.digits) <= d.exponent || d.digits == "" }

// compare returns -1, 0 or 1 as d is less than, equal to or greater than e.
func (d decimal) compare(e decimal) int {
	sign := d.sign()
	if s := e.sign(); s != sign {
		return min(1, max(-1, sign-s))
	}
	if sign == 0 {
		return 0
	}
	if d.exponent != e.exponent {
		if d.exponent < e.exponent {
			return -sign
		}
		return sign
	}
	return sign * strings.Compare(d.digits, e.digits)
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	default:
		return 1
	}
}

// multipleOf reports whether d is an integer times e, which must not be zero.
func (d decimal) multipleOf(e decimal) bool {
	if d.digits == "" {
		return true
	}
	// d = a × 10^m and e = b × 10^n, where neither a nor b ends with a zero: if m < n, ten would have to divide a.
	shift := (d.exponent - len(d.digits)) - (e.exponent - len(e.digits))
	if shift < 0 {
		return false
	}
	if len(e.digits) > 18 {
		return d.multipleOfLong(e, shift)
	}
	b, err := strconv.ParseUint(e.digits, 10, 64)
	if err != nil || b == 0 {
		return false
	}
	var rest uint64
	for i := range len(d.digits) {
		rest = (rest*10 + uint64(d.digits[i]-'0')) % b
	}
	for power := 10 % b; shift > 0; shift >>= 1 {
		if shift&1 == 1 {
			rest = mulMod(rest, power, b)
		}
		power = mulMod(power, power, b)
	}
	return rest == 0
}

func mulMod(x, y, m uint64) uint64 {
	high, low := bits.Mul64(x, y)
	return bits.Rem64(high, low, m)
}

func (d decimal) multipleOfLong(e decimal, shift int) bool {
	a, okA := new(big.Int).SetString(d.digits, 10)
	b, okB := new(big.Int).SetString(e.digits, 10)
	if !okA || !okB {
		return false
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(shift)), b)
	return power.Mul(power, a).Mod(power, b).Sign() == 0
}

// int returns a non-negative integer, or the largest int if it is too large.
func (d decimal) int() int {
	if d.digits == "" || d.negative {
		return 0
	}
	if d.exponent > 18 {
		return math.MaxInt
	}
	n, err := strconv.Atoi(d.digits + strings.Repeat("0", max(0, d.exponent-len(d.digits))))
	if err != nil {
		return math.MaxInt
	}
	return n
}

func (d decimal) canonical(b []byte) []byte {
	b = append(b, 'n')
	if d.negative {
		b = append(b, '-')
	}
	b = append(append(b, d.digits...), 'e')
	return append(strconv.AppendInt(b, int64(d.exponent), 10), ';')
}

// String returns the number in its usual notation, with an exponent if it would be long.
func (d decimal) String() string {
	sign := ""
	if d.negative {
		sign = "-"
	}
	n := len(d.digits)
	switch {
	case n == 0:
		return "0"
	case d.exponent > 21 || d.exponent < -6:
		mantissa := d.digits[:1]
		if n > 1 {
			mantissa += "." + d.digits[1:]
		}
		return shortened(sign + mantissa + "e" + strconv.Itoa(d.exponent-1))
	case d.exponent <= 0:
		return shortened(sign + "0." + strings.Repeat("0", -d.exponent) + d.digits)
	case n <= d.exponent:
		return sign + d.digits + strings.Repeat("0", d.exponent-n)
	default:
		return shortened(sign + d.digits[:d.exponent] + "." + d.digits[d.exponent:])
	}
}
