package chaos

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Options describe a run. The command line has their defaults.
type Options struct {
	// Seed decides which faults are made, in which order, on which processes, and for how long; 0 = the seed of the
	// resumed run, or else a random one.
	Seed uint64
	// Faults is how many faults the run has; 0 = as many as begin within Duration.
	Faults int
	// Duration is the time after which no further fault begins; 0 = no limit.
	Duration time.Duration
	// Kinds are parts of the names of the kinds of faults to make; none = all kinds.
	Kinds []string
	// Rate is the number of publish calls per second.
	Rate float64
	// RecoverWithin is the longest allowed recovery after a kill of one process of Posthorn; 0 = it is only measured,
	// as on a machine that also does other work.
	RecoverWithin time.Duration
	// Workflows is POSTHORN_WORKFLOWS of all processes. The APIs then run `posthorn serve`, which makes first attempts
	// outside of workflows. "" = the default, with APIs that have no worker.
	Workflows string
	// AsyncTemporal sets synchronous_commit off for Temporal's databases: with PostgreSQL, Temporal's last commits die. Those of
	// Posthorn's own database do not.
	AsyncTemporal bool
	// Bin is the directory of posthorn-lean and temporal. Clock steps need a posthorn-lean built with the tag faults.
	Bin string
	// PostgresBin is the directory of initdb and postgres; "" = the newest in the usual places.
	PostgresBin string
	// State is the file with a line for each fault.
	State string
	// Resume continues the run in State. Otherwise there must be none.
	Resume bool
	// Progress gets a line for each fault.
	Progress io.Writer
}

const mostFaults = 100_000

func (o *Options) validate() error {
	switch {
	case o.Faults < 0 || o.Faults > mostFaults:
		return fmt.Errorf("there may be at most %d faults", mostFaults)
	case o.Duration < 0, o.Faults == 0 && o.Duration == 0:
		return errors.New("a number of faults or a duration must be set")
	case o.Rate <= 0 || o.Rate > 500:
		return errors.New("the rate must be more than 0 and at most 500 a second")
	case !slices.Contains([]string{"", "event", "retries"}, o.Workflows):
		return errors.New("the workflows must be event or retries")
	case o.State == "":
		return errors.New("a state file must be named")
	}
	return nil
}

// ErrBroken is the verdict of a run that broke a promise.
var ErrBroken = errors.New("a promise was broken")
