//go:build linux

package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
)

// openState opens the state file and returns its lines. If the last line is cut off, it is removed.
func openState(o *Options) (*os.File, []Line, error) {
	flags := os.O_RDWR | os.O_CREATE
	if !o.Resume {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(o.State, flags, 0o644) //nolint:gosec // A record to be read by everybody.
	if errors.Is(err, os.ErrExist) {
		return nil, nil, fmt.Errorf("%s has a run already: continue it with --resume, or remove the file", o.State)
	}
	if err != nil {
		return nil, nil, err
	}
	lines, size, err := readLines(f)
	switch {
	case o.Seed != 0:
	case len(lines) > 0:
		o.Seed = lines[0].Seed
	default:
		o.Seed = uint64(rand.Uint32()) //nolint:gosec // Nobody guesses it.
	}
	if err == nil && len(lines) > 0 && lines[0].Seed != o.Seed {
		err = fmt.Errorf("%s has the run of seed %d, not %d", o.State, lines[0].Seed, o.Seed)
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(size, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, lines, nil
}

// readLines reads the complete lines, and returns their size in bytes.
func readLines(f *os.File) (lines []Line, size int64, err error) {
	in := bufio.NewReader(f)
	for {
		text, err := in.ReadBytes('\n')
		if err != nil { // the end, with or without a line that was cut off
			return lines, size, nil //nolint:nilerr // What can be read is what there is.
		}
		var line Line
		if err := json.Unmarshal(bytes.TrimSpace(text), &line); err != nil {
			return nil, 0, fmt.Errorf("%s: line %d: %w", f.Name(), len(lines)+1, err)
		}
		lines, size = append(lines, line), size+int64(len(text))
	}
}

// appendLine writes a line and syncs it to the disk.
func appendLine(f *os.File, line *Line) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	return f.Sync()
}
