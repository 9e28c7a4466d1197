package jsonschema

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Numbers are compared as the rational numbers that they are.
func TestSchemaNumbers_AreExact(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	digits := func(most int) string {
		b := make([]byte, 1+random.IntN(most))
		for i := range b {
			b[i] = "0001234567890"[random.IntN(13)]
		}
		return string(b)
	}
	number := func() string {
		s := strings.TrimLeft(digits(30), "0")
		if s == "" {
			s = "0"
		}
		if random.IntN(2) == 0 {
			s += "." + digits(10)
		}
		if random.IntN(3) == 0 {
			s += []string{"e", "E", "e+", "e-"}[random.IntN(4)] + fmt.Sprint(random.IntN(40))
		}
		if random.IntN(3) == 0 {
			s = "-" + s
		}
		return s
	}
	for range 20_000 {
		a, b := number(), number()
		if random.IntN(4) == 0 {
			b = a + strings.Repeat("0", strings.Count(a, ".")*(1-strings.Count(strings.ToLower(a), "e")))
		}
		x, okX := parseDecimal(a)
		y, okY := parseDecimal(b)
		require.True(t, okX && okY)
		ratX, _ := new(big.Rat).SetString(a)
		ratY, _ := new(big.Rat).SetString(b)
		require.Equal(t, ratX.Cmp(ratY), x.compare(y), "%s and %s", a, b)
		require.Equal(t, ratX.Cmp(ratY) == 0, x == y, "%s and %s", a, b)
		require.Equal(t, ratX.IsInt(), x.isInteger(), a)
		if y.sign() > 0 {
			require.Equal(t, new(big.Rat).Quo(ratX, ratY).IsInt(), x.multipleOf(y), "%s of %s", a, b)
			multiple := new(big.Rat).Mul(ratY, big.NewRat(random.Int64N(1000), 1)).FloatString(60)
			z, _ := parseDecimal(multiple)
			require.True(t, z.multipleOf(y), "%s of %s", multiple, b)
		}
	}
}

func TestSchemaNumbers_AreShownAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "-0.0": "0", "1.50": "1.5", "-7": "-7", "100": "100", "1e3": "1000", "0.001": "0.001", "1e-10": "1e-10", "12e300": "1.2e301",
	} {
		d, ok := parseDecimal(text)
		require.True(t, ok)
		require.Equal(t, want, d.String())
	}
}
