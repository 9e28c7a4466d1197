package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// write fetches the history of a run and stores it, one event per line, without details of the machine.
func (s *stage) write(ctx context.Context, directory string, run told) error {
	events := s.temporal.GetWorkflowHistory(ctx, run.workflowID, run.runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	var lines [][]byte
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return err
		}
		line, err := protojson.Marshal(event)
		if err != nil {
			return err
		}
		if line, err = anonymous(line); err != nil {
			return err
		}
		lines = append(lines, line)
	}
	text := append([]byte("{\"events\":[\n"), bytes.Join(lines, []byte(",\n"))...)
	return os.WriteFile(filepath.Join(directory, run.file+".json"), append(text, "\n]}\n"...), 0o644) //nolint:gosec // it is published
}

// anonymous rewrites an event's JSON with its fields in order. It removes the names of host and process from identities
// and from the queues of single workers.
func anonymous(event []byte) ([]byte, error) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(event))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	replaceNames(value)
	return json.Marshal(value)
}

func replaceNames(value any) {
	switch v := value.(type) {
	case map[string]any:
		if v["kind"] == "TASK_QUEUE_KIND_STICKY" {
			v["name"] = "worker"
		}
		for name, field := range v {
			if name == "identity" {
				v[name] = "worker"
			} else {
				replaceNames(field)
			}
		}
	case []any:
		for _, item := range v {
			replaceNames(item)
		}
	}
}
