//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// kind is a kind of fault, a row of the report.
type kind struct {
	name string
	// cards is how often it is in a deck.
	cards int
	// plan picks one fault, or several at once.
	plan func(*rand.Rand) []fault
}

// network are the links that are cut and slowed down.
var network = [][2]string{
	{apiRole, postgresName}, {workerRole, postgresName}, {apiRole, temporalName}, {workerRole, temporalName},
	{temporalName, postgresName}, {workerRole, receiverName},
}

// kinds are all kinds of faults.
func kinds() []kind {
	all := []kind{
		{killKind + apiRole, 10, one(killed, apiRole)},
		{killKind + workerRole, 12, one(killed, workerRole)},
		{killKind + temporalName, 4, one(killed, temporalName)},
		{killKind + postgresName, 4, one(killed, postgresName)},
		{"suspend " + apiRole, 4, one(suspended, apiRole)},
		{"suspend " + workerRole, 5, one(suspended, workerRole)},
		{"suspend " + temporalName, 3, one(suspended, temporalName)},
		{"suspend " + postgresName, 3, one(suspended, postgresName)},
		{"restart " + apiRole, 4, one(restarted, apiRole)},
		{"restart " + workerRole, 5, one(restarted, workerRole)},
		{"restart " + temporalName, 2, one(restarted, temporalName)},
		{"restart " + postgresName, 2, one(restarted, postgresName)},
		{"restart at once postgres", 5, always(restartedAtOnce)},
		{"full disk", 2, always(fullDisk)},
		{clockKind + apiRole, 2, one(steppedClock, apiRole)},
		{clockKind + workerRole, 3, one(steppedClock, workerRole)},
		{setBackKind, 1, always(setBack)},
	}
	for _, ends := range network {
		name := ends[0] + "-" + ends[1]
		all = append(all,
			kind{"partition " + name, 2, on(partitioned, ends)},
			kind{"half-open " + name, 1, on(halfOpened, ends)},
			kind{"slow network " + name, 1, on(slowed, ends)})
	}
	return append(all, kind{"several at once", 8, several(all)})
}

func one(plan func(*rand.Rand, string) fault, part string) func(*rand.Rand) []fault {
	return func(r *rand.Rand) []fault { return []fault{plan(r, part)} }
}

func on(plan func(*rand.Rand, [2]string) fault, ends [2]string) func(*rand.Rand) []fault {
	return func(r *rand.Rand) []fault { return []fault{plan(r, ends)} }
}

func always(plan func(*rand.Rand) fault) func(*rand.Rand) []fault {
	return func(r *rand.Rand) []fault { return []fault{plan(r)} }
}

// several picks two or three kinds for different places, because one fault would end another on the same link. Kinds
// that need a preparation, or leave something behind, come alone.
func several(all []kind) func(*rand.Rand) []fault {
	var eligible []kind
	for _, k := range all {
		if k.name != setBackKind && !strings.HasPrefix(k.name, clockKind) {
			eligible = append(eligible, k)
		}
	}
	return func(r *rand.Rand) (faults []fault) {
		count, places := 2+r.IntN(2), map[string]bool{}
		for _, i := range r.Perm(len(eligible)) {
			if k := eligible[i]; len(faults) < count && !places[k.place()] {
				places[k.place()] = true
				faults = append(faults, k.plan(r)...)
			}
		}
		return faults
	}
}

// place returns the last word of a kind's name: the process or the link.
func (k kind) place() string { return k.name[strings.LastIndexByte(k.name, ' ')+1:] }

// schedule deals the faults of a seed. Each number has its fault, independent of the numbers dealt before.
type schedule struct {
	seed uint64
	deck []kind
}

func newSchedule(seed uint64, only []string) (*schedule, error) {
	s := &schedule{seed: seed}
	for _, k := range kinds() {
		if !wanted(k.name, only) {
			continue
		}
		for range k.cards {
			s.deck = append(s.deck, k)
		}
	}
	if len(s.deck) == 0 {
		return nil, fmt.Errorf("there is no kind of fault with %s in its name", strings.Join(only, " or "))
	}
	return s, nil
}

func wanted(name string, only []string) bool {
	for _, part := range only {
		if strings.Contains(name, part) {
			return true
		}
	}
	return len(only) == 0
}

// Streams of random numbers, each with its own use.
const (
	shuffleStream = 1 << 40
	faultStream   = 2 << 40
)

// kind returns the kind of fault number n, from 0. Every deck is shuffled, so that no kind is absent for long.
func (s *schedule) kind(n int) kind {
	round := n / len(s.deck)
	order := rand.New(rand.NewPCG(s.seed, shuffleStream+uint64(round))).Perm(len(s.deck)) //nolint:gosec // Repeatable on purpose.
	return s.deck[order[n%len(s.deck)]]
}

// dice returns the random numbers of fault number n.
func (s *schedule) dice(n int) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed, faultStream+uint64(n))) //nolint:gosec // Repeatable on purpose.
}
