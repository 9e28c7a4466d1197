//go:build linux

package chaos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/freeport"
	"github.com/posthorn/posthorn/internal/localpg"
)

// postgres is the server under test. An answered commit survives the end of the server, but not of the machine; no
// fault ends the machine.
type postgres struct {
	process
	disk     disk
	addr     string
	password string
	version  int // server_version_num
	// asyncTemporal says that commits to Temporal's databases do not wait for the disk.
	asyncTemporal bool
	// copied is when Temporal's databases were copied last.
	copied time.Time
}

const (
	superuser        = "posthorn"
	ourDatabase      = "posthorn"
	temporalDatabase = "temporal"
	copySuffix       = "_before"
)

// temporals are Temporal's databases.
var temporals = []string{temporalDatabase, temporalDatabase + "_visibility"}

// newPostgres makes a data directory under dir, on a separate disk where mounting is allowed.
func newPostgres(ctx context.Context, bin, dir, log string) (*postgres, error) {
	if bin == "" {
		var err error
		if bin, err = localpg.FindBinaries(); err != nil {
			return nil, err
		}
	}
	owner, err := localpg.FindOwner()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o750); err != nil {
		return nil, err
	}
	p := &postgres{password: rand.Text()}
	mounted, mountErr := mountDisk(dir)
	if mountErr == nil {
		p.disk = mounted
	} else {
		p.disk = &limitedDisk{&p.process}
	}
	fail := func(err error) (*postgres, error) { return nil, errors.Join(err, p.unmount()) }
	if err := owner.Chown(dir); err != nil {
		return fail(err)
	}
	if err := localpg.Initialise(ctx, bin, dir, owner, superuser, p.password); err != nil {
		return fail(err)
	}
	if p.addr, err = freeport.Addr(ctx, nil); err != nil {
		return fail(err)
	}
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return fail(err)
	}
	p.process = process{name: "postgres", path: filepath.Join(bin, "postgres"), log: log, attr: *owner.Attributes(), tree: true, env: cleanEnv(),
		args: []string{"-D", localpg.DataDir(dir), "-c", "listen_addresses=127.0.0.1", "-c", "port=" + port, "-c", "unix_socket_directories=",
			"-c", "max_connections=300", "-c", "timezone=UTC", "-c", "max_wal_size=256MB"}}
	p.start(ctx)
	if err := p.await(ctx); err != nil {
		p.close()
		return fail(err)
	}
	return p, nil
}

func (p *postgres) unmount() error {
	if mounted, ok := p.disk.(*mountedDisk); ok {
		return mounted.unmount()
	}
	return nil
}

// url returns the URL of a database at an address: the server's own, or that of a link to it.
func (p *postgres) url(addr, database string) string {
	return (&url.URL{Scheme: "postgres", User: url.UserPassword(superuser, p.password), Host: addr, Path: "/" + database, RawQuery: "sslmode=disable"}).String()
}

// upWithin is how long a part may take to start.
const upWithin = 2 * time.Minute

// await waits until the server answers.
func (p *postgres) await(ctx context.Context) error {
	return until(ctx, upWithin, func(ctx context.Context) error {
		return p.as(ctx, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&p.version)
		})
	})
}

// as calls do as superuser, over a connection that no fault touches.
func (p *postgres) as(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, p.url(p.addr, "postgres")+"&connect_timeout=5")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return do(conn)
}

func (p *postgres) create(ctx context.Context, database string) error {
	return p.as(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CREATE DATABASE "+database)
		return err
	})
}

// replicate replaces a database with a copy of another. Neither may have connections.
func (p *postgres) replicate(ctx context.Context, conn *pgx.Conn, from, to string) error {
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+to+" WITH (FORCE)"); err != nil {
		return err
	}
	statement := "CREATE DATABASE " + to + " TEMPLATE " + from
	const strategies = 150000 // the first version with strategies; before, files were copied
	if p.version >= strategies {
		statement += " STRATEGY FILE_COPY"
	}
	_, err := conn.Exec(ctx, statement)
	return err
}

// copyTemporal copies Temporal's databases. Temporal must be down.
func (p *postgres) copyTemporal(ctx context.Context) error {
	err := p.eachTemporal(ctx, func(conn *pgx.Conn, database string) error {
		return p.replicate(ctx, conn, database, database+copySuffix)
	})
	if err == nil {
		p.copied = time.Now()
	}
	return err
}

// restoreTemporal sets Temporal's databases back to the copy. Temporal must be down.
func (p *postgres) restoreTemporal(ctx context.Context) error {
	return p.eachTemporal(ctx, func(conn *pgx.Conn, database string) error {
		if err := p.replicate(ctx, conn, database+copySuffix, database); err != nil {
			return err
		}
		return p.commitTemporal(ctx, conn, database)
	})
}

// commitTemporal sets how commits to one of Temporal's databases are made. A copy of a database does not have the setting.
func (p *postgres) commitTemporal(ctx context.Context, conn *pgx.Conn, database string) error {
	if !p.asyncTemporal {
		return nil
	}
	_, err := conn.Exec(ctx, "ALTER DATABASE "+database+" SET synchronous_commit = off")
	return err
}

// eachTemporal calls do for each database. It tries again while connections of an ended Temporal still exist.
func (p *postgres) eachTemporal(ctx context.Context, do func(*pgx.Conn, string) error) error {
	for _, database := range temporals {
		if err := until(ctx, upWithin, func(ctx context.Context) error {
			return p.as(ctx, func(conn *pgx.Conn) error { return do(conn, database) })
		}); err != nil {
			return fmt.Errorf("database %s: %w", database, err)
		}
	}
	return nil
}

// restartAtOnce ends the server without letting it finish anything, as `pg_ctl restart -m immediate` does.
func (p *postgres) restartAtOnce(ctx context.Context) error {
	p.again(0)
	return p.end(ctx, syscall.SIGQUIT)
}
