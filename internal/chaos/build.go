//go:build linux

package chaos

import (
	"debug/buildinfo"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// fits checks that the programs can make the scheduled faults. Without the build tag faults there are no clock steps.
func (r *runner) fits() error {
	path := filepath.Join(r.Bin, "posthorn-lean")
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the program under test: %w", err)
	}
	for _, setting := range info.Settings {
		if setting.Key == "-tags" && slices.Contains(strings.Split(setting.Value, ","), "faults") {
			return nil
		}
	}
	if slices.ContainsFunc(r.schedule.deck, func(k kind) bool { return strings.HasPrefix(k.name, clockKind) }) {
		return fmt.Errorf("%s is not built with the tag faults, which clock steps need", path)
	}
	return nil
}
