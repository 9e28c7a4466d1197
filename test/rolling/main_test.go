// Package rolling replaces the processes of an installation one by one while events are published: by themselves, and by
// another build, which has a changed workflow and a migration of its own (the build tag "upgrade"). A load balancer that
// asks /readyz stands before the APIs. No call fails, nothing is sent twice, and nothing is left undone.
package rolling

import (
	"os"
	"testing"

	"github.com/posthorn/posthorn/test/harness"
)

var programs harness.Programs

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &programs)) }
