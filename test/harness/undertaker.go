package harness

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// mourner ends the processes under test if the tests end before they can: by their timeout, or by a kill.
type mourner struct {
	mu    sync.Mutex
	names io.Writer
}

// undertakerScript reads "+ pid" and "- pid". When its input ends, it kills the processes that have started and not
// ended.
const undertakerScript = `living=" "
while read -r change pid; do
	case $change in
	+) living="$living$pid " ;;
	-) living="${living% "$pid" *} ${living#* "$pid" }" ;;
	esac
done
set -- $living
[ $# = 0 ] || kill -9 "$@" 2>/dev/null`

var undertaker = sync.OnceValue(func() *mourner {
	shell := exec.Command("sh", "-c", undertakerScript)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		panic(fmt.Errorf("harness: %w", err)) // there is a shell on every Unix
	}
	return &mourner{names: input} // its input ends with this process
})

func (m *mourner) watch(pid int)  { m.tell("+", pid) }
func (m *mourner) forget(pid int) { m.tell("-", pid) }

func (m *mourner) tell(change string, pid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = fmt.Fprintln(m.names, change, pid)
}
