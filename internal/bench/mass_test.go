package bench

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBenchMass_BesideCountsWhatDidNotArriveAsSlowest(t *testing.T) {
	t.Parallel()
	ms := func(n uint32) uint32 { return n * 1000 }
	for _, c := range []struct {
		name     string
		micros   []uint32
		accepted int
		refused  int
		want     string
	}{
		{"all arrived", []uint32{ms(3), ms(1), ms(2)}, 3, 0, "2.0 ms / 3.0 ms"},
		{"a little late", []uint32{ms(1), ms(1500)}, 2, 0, "1.0 ms / 1.5 s"},
		{"the slowest is missing", []uint32{ms(1), ms(2)}, 3, 0, "2.0 ms / never (1 of 3 did not arrive)"},
		{"half is missing", []uint32{ms(1)}, 3, 0, "never / never (2 of 3 did not arrive)"},
		{"some were refused", []uint32{ms(1)}, 1, 2, "1.0 ms / 1.0 ms (2 refused)"},
		{"nothing arrived", nil, 300, 0, "nothing of 300 arrived"},
		{"one that nobody knew to be accepted", []uint32{ms(1), ms(2)}, 1, 1, "1.0 ms / 2.0 ms (1 refused)"},
	} {
		require.Equal(t, c.want, beside(c.micros, c.accepted, c.refused).String(), c.name)
	}
}

func TestBenchMass_BesideIsByNearestRank(t *testing.T) {
	t.Parallel()
	var micros []uint32
	for i := range 300 {
		micros = append(micros, uint32(i+1)*1000)
	}
	b := beside(micros, 300, 0)
	require.Equal(t, 150*time.Millisecond, b.P50)
	require.Equal(t, 297*time.Millisecond, b.P99)
}

func TestBenchMass_FiguresAreReadable(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]float64{"0": .4, "999": 999.4, "1,000": 999.5, "189,920": 189920, "1,234,567": 1234567} {
		require.Equal(t, want, Grouped(f))
	}
	for want, d := range map[string]time.Duration{"0.3 ms": 300 * time.Microsecond, "999.0 ms": 999 * time.Millisecond, "13.8 s": 13800 * time.Millisecond, "never": -1} {
		require.Equal(t, want, short(d))
	}
	require.Equal(t, "2.0 s, 25,000/s", perSecond(50_000, 2*time.Second))
	require.Equal(t, "3.5 + 1.0 transactions, 2.0 ms", cost{posts: 2, ours: 7, engines: 2, cpu: 4 * time.Millisecond}.String())
	require.Equal(t, "0.0 + 0.0 transactions, 0.0 ms", cost{}.String())
}

func TestBenchMass_ScaledMassStaysMeaningful(t *testing.T) {
	t.Parallel()
	full := DefaultMass()
	require.Equal(t, full, full.Scaled(1))
	small := full.Scaled(.001)
	require.Equal(t, MassOptions{Backlogs: []int{6000, 6000}, Stored: 1000, Webhooks: 1000, Load: 10 * time.Second, Watch: 30 * time.Second}, small)
	require.Equal(t, []int{50_000, 200_000}, full.Backlogs, "the options scaled are left as they were")
	require.Equal(t, []int{12_000, 50_000}, full.Scaled(.25).Backlogs)
	short := MassOptions{Load: time.Second, Watch: 2 * time.Second}.Scaled(.5)
	require.Equal(t, time.Second, short.Load, "what was asked for is not made longer")
}

// absent is a stage that cannot be brought up.
type absent struct {
	running

	begun, ended int
}

func (s *absent) Begin(context.Context, ...string) error {
	s.begun++
	return errors.New("no Posthorn here")
}

func (s *absent) End(context.Context) { s.ended++ }

func TestBenchMass_APartThatGoesWrongLeavesTheOthers(t *testing.T) {
	t.Parallel()
	stage := &absent{}
	size := DefaultMass()
	size.Parts = []string{"quiet", "dead", "hold"}
	figures, err := Mass(t.Context(), Options{Receiver: "127.0.0.1:0"}, size, stage)
	require.NoError(t, err)
	var parts []string
	for _, f := range figures {
		require.Equal(t, "went wrong", f.What)
		require.Contains(t, f.Got, "no Posthorn here")
		parts = append(parts, f.Part)
	}
	require.Equal(t, []string{"quiet", "dead, 50,000", "dead, 200,000", "hold", "hold, with a neighbour"}, parts)
	require.Equal(t, 5, stage.begun)
	require.Equal(t, 5, stage.ended)

	size.Parts = []string{"quiet", "loud"}
	_, err = Mass(t.Context(), Options{}, size, stage)
	require.ErrorContains(t, err, `no part "loud"`)
}

func TestBenchMass_WaitsAreBounded(t *testing.T) {
	t.Parallel()
	m := &mass{size: MassOptions{Watch: 20 * time.Millisecond}}
	asked := 0
	took, ok := m.waitFor(t.Context(), time.Millisecond, func(context.Context) (bool, error) {
		asked++
		return true, errors.New("too busy to answer")
	})
	require.False(t, ok)
	require.GreaterOrEqual(t, took, m.size.Watch)
	require.Positive(t, asked)
	_, ok = m.waitFor(t.Context(), time.Millisecond, func(context.Context) (bool, error) { return true, nil })
	require.True(t, ok)
}

func TestBenchMass_SightingsKnowTheNthAndWhatCameLater(t *testing.T) {
	t.Parallel()
	s := sightings{timed: true}
	for _, stamp := range []uint32{30, 10, 20} {
		s.arrive(stamp)
	}
	stamp, ok := s.nth(2)
	require.True(t, ok)
	require.Equal(t, uint32(20), stamp)
	_, ok = s.nth(4)
	require.False(t, ok)
	require.Equal(t, 3, s.count(0))
	require.Equal(t, 1, s.count(20))
}

func TestBenchMass_ReceiverRefusesAndNumbers(t *testing.T) {
	t.Parallel()
	s := &sink{ledger: newLedger()}
	gone := s.ledger.addHook("t", newPlace(), 0, 0)
	gone.refuse = func(stamp uint32) int {
		if stamp > 100 {
			return 410
		}
		return 0
	}
	require.Equal(t, 204, gone.receive(1, 50))
	require.Equal(t, 410, gone.receive(2, 150))
	require.Equal(t, int64(1), gone.received.Load())
	require.Equal(t, int64(1), gone.refusals.Load())

	many := s.ledger.addHook("t", newPlace(), 0, 0)
	many.numbered = true
	request := func(path string) (*hook, int) {
		h, seq, err := s.read(bufio.NewReader(strings.NewReader("POST " + path + " HTTP/1.1\r\nwebhook-id: e\r\nContent-Length: 18\r\n\r\n" + `{"seq":"00000007"}`)))
		require.NoError(t, err)
		return h, seq
	}
	h, seq := request("/hooks/1/123")
	require.Same(t, many, h)
	require.Equal(t, 123, seq, "the number of the webhook stands for the event's")
	h, seq = request("/hooks/1")
	require.Same(t, many, h)
	require.Zero(t, seq)
	h, seq = request("/hooks/0")
	require.Same(t, gone, h)
	require.Equal(t, 7, seq)
	for _, path := range []string{"/hooks/0/5", "/hooks/1/x", "/hooks/9/1", "/hooks/1/5000000"} {
		h, _ = request(path)
		require.Nil(t, h, path)
	}
}

func TestBenchMass_TextHasItsParts(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	r := Report{Mass: []Figure{{Part: "dead", What: "POSTs", Got: "3,100"}, {Part: "dead", What: "held", Got: "1.0 s"}, {Part: "hold", What: "pause", Got: "3 ms"}}}
	require.NoError(t, r.Text(&b))
	require.Contains(t, b.String(), "\ndead")
	require.Equal(t, 1, strings.Count(b.String(), "dead"))
	require.Regexp(t, `(?m)^  POSTs +3,100$`, b.String())
}
