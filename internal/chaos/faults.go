//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

// fault is a disturbance of a stage that begins and ends.
type fault struct {
	about string
	// length is the time between begin and end.
	length time.Duration
	// instant: the fault ends as soon as it has begun, and the recovery counts from then.
	instant bool
	// clean: the fault is no reason for a POST without a record, or for a second POST.
	clean bool
	// lasting: Temporal or PostgreSQL, or the way to them, has to recover from the fault. Until then Temporal may have
	// work done twice, and the fault hits everything that is in flight.
	lasting    bool
	begin, end func(context.Context, *stage) error
}

func nothing(context.Context, *stage) error { return nil }

// instance picks one of a role's processes.
func instance(r *rand.Rand, role string) string {
	if role == apiRole || role == workerRole {
		return fmt.Sprintf("%s-%d", role, 1+r.IntN(replicas))
	}
	return role
}

// between picks a time, to a tenth of a second.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)+1))).Round(100 * time.Millisecond)
}

// mostly picks a time that is usually short and sometimes long.
func mostly(r *rand.Rand, least, usual, most time.Duration) time.Duration {
	if r.IntN(10) == 0 {
		return between(r, usual, most)
	}
	return between(r, least, usual)
}

// killed is kill -9. A killed Temporal or PostgreSQL affects its users until it is back.
func killed(r *rand.Rand, role string) fault {
	name, again := instance(r, role), between(r, time.Second, 3*time.Second)
	f := fault{about: fmt.Sprintf("kill -9 %s, started again after %s", name, again), instant: true, lasting: isStore(role), end: nothing}
	f.begin = func(_ context.Context, s *stage) error {
		s.process(name).kill(again)
		return nil
	}
	if isStore(role) {
		f.end = func(ctx context.Context, s *stage) error { return s.up(ctx, role) }
	}
	return f
}

// isStore reports whether a process is not Posthorn's own.
func isStore(role string) bool { return role == postgresName || role == temporalName }

// up waits until Temporal or PostgreSQL answers.
func (s *stage) up(ctx context.Context, role string) error {
	if role == postgresName {
		return s.postgres.await(ctx)
	}
	return until(ctx, upWithin, func(ctx context.Context) error { return dial(ctx, s.addrs[temporalName]) })
}

// suspended is SIGSTOP and, later, SIGCONT. Connections stay open, and nothing is answered.
func suspended(r *rand.Rand, role string) fault {
	name, length := instance(r, role), mostly(r, time.Second, 4*time.Second, 30*time.Second)
	send := func(signal syscall.Signal) func(context.Context, *stage) error {
		return func(_ context.Context, s *stage) error {
			s.process(name).signal(signal)
			return nil
		}
	}
	return fault{about: fmt.Sprintf("suspend %s for %s", name, length), length: length, lasting: isStore(role), begin: send(syscall.SIGSTOP), end: send(syscall.SIGCONT)}
}

// restarted is SIGTERM, as a deployment sends it. The fault lasts until the process has ended.
func restarted(r *rand.Rand, role string) fault {
	name := instance(r, role)
	signal := syscall.SIGTERM
	if role == postgresName {
		signal = syscall.SIGINT // its own SIGTERM waits until every client has gone
	}
	return fault{about: "restart " + name, clean: !isStore(role), lasting: isStore(role), end: nothing, begin: func(ctx context.Context, s *stage) error {
		p := s.process(name)
		p.again(0)
		return p.end(ctx, signal)
	}}
}

func restartedAtOnce(*rand.Rand) fault {
	return fault{about: "pg_ctl restart -m immediate", lasting: true, begin: func(ctx context.Context, s *stage) error { return s.postgres.restartAtOnce(ctx) },
		end: func(ctx context.Context, s *stage) error { return s.postgres.await(ctx) }}
}

// ends picks one link of a role, or all of them.
func ends(r *rand.Rand, pick [2]string) (from, to, about string) {
	from, to = pick[0], pick[1]
	if to != receiverName && r.IntN(2) == 0 {
		from = instance(r, from)
	}
	return from, to, from + " to " + to
}

// through applies do to links.
func through(from, to string, do func(*link)) func(context.Context, *stage) error {
	return func(_ context.Context, s *stage) error {
		for _, l := range s.between(from, to) {
			do(l)
		}
		return nil
	}
}

// partitioned drops everything, both ways.
func partitioned(r *rand.Rand, pick [2]string) fault {
	from, to, about := ends(r, pick)
	length := mostly(r, time.Second, 5*time.Second, 15*time.Second)
	return fault{about: fmt.Sprintf("partition %s for %s", about, length), length: length, lasting: isStore(to),
		begin: through(from, to, func(l *link) { l.set(conditions{blocked: true}) }),
		end:   through(from, to, func(l *link) { l.set(conditions{}) })}
}

// halfOpened keeps the existing connections open and carries nothing in one direction. At the end they are reset.
func halfOpened(r *rand.Rand, pick [2]string) fault {
	from, to, about := ends(r, pick)
	length := mostly(r, time.Second, 5*time.Second, 15*time.Second)
	d, way := toServer, "there"
	if r.IntN(2) == 0 {
		d, way = toClient, "back"
	}
	return fault{about: fmt.Sprintf("half-open connections %s for %s, nothing comes %s", about, length, way), length: length, lasting: isStore(to),
		begin: through(from, to, func(l *link) { l.freeze(d) }), end: through(from, to, (*link).thaw)}
}

// slowed adds latency, and sometimes limits the rate.
func slowed(r *rand.Rand, pick [2]string) fault {
	from, to, about := ends(r, pick)
	length := between(r, 2*time.Second, 6*time.Second)
	c := conditions{latency: between(r, 100*time.Millisecond, 300*time.Millisecond)}
	about = fmt.Sprintf("slow network %s for %s: %s", about, length, c.latency)
	if r.IntN(2) == 0 {
		c.rate = 64 << (10 + r.IntN(3))
		about += fmt.Sprintf(", %d KiB/s", c.rate>>10)
	}
	return fault{about: about, length: length, lasting: isStore(to), begin: through(from, to, func(l *link) { l.set(c) }),
		end: through(from, to, func(l *link) { l.set(conditions{}) })}
}

// fullDisk is a file system without room. It may end PostgreSQL.
func fullDisk(r *rand.Rand) fault {
	length := between(r, time.Second, 4*time.Second)
	return fault{about: fmt.Sprintf("disk full for %s", length), length: length, lasting: true,
		begin: func(_ context.Context, s *stage) error { return s.postgres.disk.fill() },
		end: func(ctx context.Context, s *stage) error {
			if err := s.postgres.disk.free(); err != nil {
				return err
			}
			return s.postgres.await(ctx)
		}}
}

// steppedClock moves one process's clock, and moves it back.
func steppedClock(r *rand.Rand, role string) fault {
	name, length := instance(r, role), between(r, 4*time.Second, 14*time.Second)
	// Small steps and large ones alike: a second to an hour.
	step := time.Duration(math.Exp(r.Float64()*math.Log(3600)) * float64(time.Second)).Round(100 * time.Millisecond)
	if r.IntN(2) == 0 {
		step = -step
	}
	set := func(ahead time.Duration) func(context.Context, *stage) error {
		return func(_ context.Context, s *stage) error {
			written := s.clock(name) + ".new"
			if err := os.WriteFile(written, []byte(ahead.String()), 0o600); err != nil {
				return err
			}
			return os.Rename(written, s.clock(name))
		}
	}
	return fault{about: fmt.Sprintf("clock of %s stepped by %s for %s", name, step, length), length: length, begin: set(step), end: set(0)}
}

// setBack replaces Temporal's database with a copy. The runner has made sure that a copy from a minute ago exists.
func setBack(*rand.Rand) fault {
	return fault{about: "Temporal's database set back", lasting: true, end: nothing, begin: func(ctx context.Context, s *stage) error {
		return s.withoutTemporal(ctx, s.postgres.restoreTemporal)
	}}
}

// withoutTemporal does something while Temporal is down.
func (s *stage) withoutTemporal(ctx context.Context, do func(context.Context) error) error {
	release := s.temporal.hold()
	defer release()
	s.temporal.again(0)
	if err := s.temporal.end(ctx, syscall.SIGTERM); err != nil {
		return err
	}
	return do(ctx)
}
