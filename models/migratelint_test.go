package models_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

var (
	lintCreateTable = regexp.MustCompile(`(?i)^CREATE TABLE (?:IF NOT EXISTS )?(\w+)`)
	lintIndex       = regexp.MustCompile(`(?i)^CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(IF NOT EXISTS )?\w+ ON (\w+)`)
	lintDropIndex   = regexp.MustCompile(`(?i)^DROP INDEX (CONCURRENTLY )?(IF EXISTS )?\w+`)
	lintAlter       = regexp.MustCompile(`(?i)^ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(\w+) `)
	lintWrite       = regexp.MustCompile(`(?i)^(UPDATE|DELETE FROM|INSERT INTO) (\w+)`)
	// lintScans reads or rewrites a whole table, and keeps all others from using it meanwhile.
	lintScans = map[string]*regexp.Regexp{
		"rewrites the table":                      regexp.MustCompile(`(?i)ALTER COLUMN \w+ (SET DATA )?TYPE|SET (LOGGED|UNLOGGED|TABLESPACE)|CLUSTER|GENERATED ALWAYS AS \(`),
		"reads the table for NOT NULL":            regexp.MustCompile(`(?i)ALTER COLUMN \w+ SET NOT NULL`),
		"has a default that is made for each row": regexp.MustCompile(`(?i)DEFAULT (random|clock_timestamp|timeofday|gen_random_uuid|uuid_\w+|nextval)\b|\b(big|small)?serial\b`),
		"builds an index while writers wait":      regexp.MustCompile(`(?i)ADD (CONSTRAINT \w+ )?(PRIMARY KEY|UNIQUE|EXCLUDE) ?\(`),
	}
	lintConstraint = regexp.MustCompile(`(?i)ADD (CONSTRAINT \w+ )?(FOREIGN KEY|CHECK)|ADD COLUMN .*\b(REFERENCES|CHECK)\b`)
	lintNotValid   = regexp.MustCompile(`(?i)\bNOT VALID\b`)
)

// lint returns the parts of a migration that would keep running processes waiting.
func lint(text string) (faults []string) {
	online := strings.HasPrefix(text, models.OnlineMark)
	made := map[string]bool{} // tables of this migration: nobody uses them yet
	for _, statement := range models.StatementsOf(text) {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf(format, args...)+": "+statement)
		}
		concurrent := strings.Contains(strings.ToUpper(statement), "CONCURRENTLY")
		if concurrent && !online {
			fault("CONCURRENTLY needs the first line %q", strings.TrimSpace(models.OnlineMark))
		}
		if m := lintCreateTable.FindStringSubmatch(statement); m != nil {
			made[m[1]] = true
			if online && !strings.Contains(statement, "IF NOT EXISTS") {
				fault("cannot be run twice")
			}
			continue
		}
		if m := lintIndex.FindStringSubmatch(statement); m != nil {
			switch {
			case m[1] == "" && !made[m[3]]:
				fault("builds an index while writers wait")
			case online && m[2] == "":
				fault("cannot be run twice")
			}
			continue
		}
		if m := lintDropIndex.FindStringSubmatch(statement); m != nil {
			switch {
			case m[1] == "":
				fault("locks the table: DROP INDEX CONCURRENTLY")
			case m[2] == "":
				fault("cannot be run twice")
			}
			continue
		}
		if m := lintWrite.FindStringSubmatch(statement); m != nil && !made[m[2]] && !strings.EqualFold(m[1], "INSERT INTO") {
			fault("changes all rows in one transaction: write a job that does it in pages")
		}
		m := lintAlter.FindStringSubmatch(statement)
		if m == nil || made[m[1]] {
			continue
		}
		for what, pattern := range lintScans {
			if pattern.MatchString(statement) {
				fault("%s", what)
			}
		}
		if lintConstraint.MatchString(statement) && !lintNotValid.MatchString(statement) {
			fault("reads the table to check a constraint: NOT VALID, and VALIDATE CONSTRAINT in an online migration")
		}
		if online && strings.Contains(strings.ToUpper(statement), "ADD COLUMN") && !strings.Contains(strings.ToUpper(statement), "IF NOT EXISTS") {
			fault("cannot be run twice")
		}
	}
	slices.Sort(faults)
	return faults
}

// Migrations from 0009 on run while processes work, and none keeps them waiting.
func TestMigrations_AreOnline(t *testing.T) {
	t.Parallel()
	for _, id := range models.Migrations {
		if id < "0009" {
			continue
		}
		text, err := models.MigrationText(id)
		require.NoError(t, err)
		require.Empty(t, lint(text), id)
	}
}

func TestMigrations_TheLintFinds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"CREATE INDEX a ON events (id);\n":                                                "builds an index",
		"CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON events (id);\n":                     "needs the first line",
		"-- online\nCREATE INDEX CONCURRENTLY a ON events (id);\n":                        "run twice",
		"-- online\n-- Why.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a ON events (id);\n": "",
		"-- online\nDROP INDEX CONCURRENTLY IF EXISTS a;\n":                               "",
		"DROP INDEX a;\n": "locks the table",
		"CREATE TABLE new (id text);\nCREATE INDEX a ON new (id);\n":        "",
		"ALTER TABLE events ADD COLUMN a text NOT NULL DEFAULT '';\n":       "",
		"ALTER TABLE events ADD COLUMN a uuid DEFAULT gen_random_uuid();\n": "made for each row",
		"ALTER TABLE events ADD COLUMN a bigserial;\n":                      "made for each row",
		"ALTER TABLE events ALTER COLUMN id TYPE uuid;\n":                   "rewrites",
		"ALTER TABLE events ALTER COLUMN data SET NOT NULL;\n":              "NOT NULL",
		"ALTER TABLE events ADD CONSTRAINT a CHECK (id <> '');\n":           "NOT VALID",
		"ALTER TABLE events ADD CONSTRAINT a CHECK (id <> '') NOT VALID;\n": "",
		"ALTER TABLE events ADD COLUMN a text REFERENCES tenants (id);\n":   "NOT VALID",
		"ALTER TABLE events ADD UNIQUE (id);\n":                             "builds an index",
		"UPDATE events SET type = '';\n":                                    "all rows",
		"ALTER TABLE events SET (autovacuum_vacuum_scale_factor = 0.1);\n":  "",
	} {
		got := strings.Join(lint(text), "\n")
		if want == "" {
			require.Empty(t, got, text)
		} else {
			require.Contains(t, got, want, text)
		}
	}
}
