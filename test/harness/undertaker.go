package harness

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// mourner ends the processes under test if the tests are ended before they could: by their timeout, or killed.
type mourner struct {
	mu    sync.Mutex
	names io.Writer
}

// undertakerScript reads "+ pid" and "- pid", and when its input ends kills what has been born and not died.
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
