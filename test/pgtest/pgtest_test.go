package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/localpg"
)

// envOwner makes this test binary start a cluster, print its URL and directory, and wait to be killed.
const envOwner = "PGTEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(envOwner) == "" {
		os.Exit(m.Run())
	}
	c, err := Start(context.Background(), Options{Fast: true})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(c.URL())
	fmt.Println(c.guard.Dir)
	select {}
}

func TestPgtest_URLGivesEachTestItsOwnEmptyDatabase(t *testing.T) {
	t.Parallel()

	var first, second string
	t.Run("while it runs", func(t *testing.T) {
		first, second = URL(t), URL(t)
		require.NotEqual(t, first, second)

		for _, url := range []string{first, second} {
			execute(t, url, `CREATE TABLE mine (id int)`)
		}
		name := query[string](t, first, `SELECT current_database()`)
		execute(t, second, `CREATE DATABASE `+name+`_sibling`)
	})

	for _, url := range []string{first, second} {
		_, err := pgx.Connect(t.Context(), url)
		require.ErrorContains(t, err, "does not exist", "dropped when its test ended")
	}
	name, _, _ := strings.Cut(first[strings.LastIndex(first, "/")+1:], "?")
	left := query[int](t, URL(t), `SELECT count(*) FROM pg_database WHERE starts_with(datname, '`+name+`')`)
	require.Zero(t, left, "siblings are dropped with it")
}

func TestPgtest_URLDropsADatabaseInUse(t *testing.T) {
	t.Parallel()

	var conn *pgx.Conn
	t.Run("test that forgets to disconnect", func(t *testing.T) {
		var err error
		conn, err = pgx.Connect(t.Context(), URL(t))
		require.NoError(t, err)
	})
	require.Error(t, conn.Ping(t.Context()), "disconnected by force")
}

func TestPgtest_StopRemovesTheCluster(t *testing.T) {
	t.Parallel()

	c, err := Start(t.Context(), Options{Fast: true, Settings: []string{"work_mem=7MB"}})
	require.NoError(t, err)
	require.Equal(t, "off", query[string](t, c.URL(), `SHOW fsync`))
	require.Equal(t, "7MB", query[string](t, c.URL(), `SHOW work_mem`))

	require.NoError(t, c.Stop())
	_, err = pgx.Connect(t.Context(), c.URL())
	require.Error(t, err)
	require.NoDirExists(t, c.guard.Dir)
}

func TestPgtest_StopReportsAServerThatDied(t *testing.T) {
	t.Parallel()

	c, err := Start(t.Context(), Options{Fast: true})
	require.NoError(t, err)
	lockFile, err := os.ReadFile(filepath.Join(localpg.DataDir(c.guard.Dir), "postmaster.pid"))
	require.NoError(t, err)
	firstLine, _, _ := strings.Cut(string(lockFile), "\n")
	pid, err := strconv.Atoi(firstLine)
	require.NoError(t, err)

	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	<-c.ended
	require.ErrorContains(t, c.Stop(), "ended by itself")
}

func TestPgtest_KilledServerComesBackWithWhatWasCommitted(t *testing.T) {
	t.Parallel()

	c, err := Start(t.Context(), Options{Fast: true, Settings: []string{"synchronous_commit=on"}})
	require.NoError(t, err)
	execute(t, c.URL(), `CREATE TABLE kept (id int)`)
	for round := range 3 {
		execute(t, c.URL(), `INSERT INTO kept VALUES (1)`)
		require.NoError(t, c.Kill(t.Context()))
		_, err = pgx.Connect(t.Context(), c.URL())
		require.Error(t, err)
		require.NoError(t, c.Restart(t.Context()))
		require.Equal(t, round+1, query[int](t, c.URL(), `SELECT count(*) FROM kept`))
	}
	require.NoError(t, c.Stop())
	require.NoDirExists(t, c.guard.Dir)
}

func TestPgtest_StopRemovesAKilledServer(t *testing.T) {
	t.Parallel()

	c, err := Start(t.Context(), Options{Fast: true})
	require.NoError(t, err)
	require.NoError(t, c.Kill(t.Context()))
	require.NoError(t, c.Stop())
	require.NoDirExists(t, c.guard.Dir)
}

func TestPgtest_StartReportsWhatTheServerSaid(t *testing.T) {
	t.Parallel()

	_, err := Start(t.Context(), Options{Settings: []string{"no_such_setting=1"}})
	require.ErrorContains(t, err, "no_such_setting")
}

func TestPgtest_DurableUnlessFast(t *testing.T) {
	t.Parallel()

	c, err := Start(t.Context(), Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Stop()) }()
	require.Equal(t, "on", query[string](t, c.URL(), `SHOW fsync`))
	require.Equal(t, "on", query[string](t, c.URL(), `SHOW synchronous_commit`))
}

func TestPgtest_ClusterEndsWithItsOwner(t *testing.T) {
	t.Parallel()

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envOwner+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	url, dir := line(t, out)
	require.Equal(t, 1, query[int](t, url, `SELECT 1`))

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, stopTimeout, 10*time.Millisecond, "cluster left behind in %s", dir)
	_, err = pgx.Connect(t.Context(), url)
	require.Error(t, err)
}

// line reads the owner's two lines.
func line(t *testing.T, r io.Reader) (url, dir string) {
	t.Helper()
	lines := bufio.NewScanner(r)
	require.True(t, lines.Scan(), "no URL")
	url = lines.Text()
	require.True(t, lines.Scan(), "no directory: %s", url)
	return url, lines.Text()
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, err)
	return v
}
