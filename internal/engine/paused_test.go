package engine_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
)

func logTo(b *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// Somebody pauses a workflow, or an activity of one, in the Web UI (A10).
func TestPaused_WhatIsPausedInTemporal(t *testing.T) {
	t.Parallel()
	e, v, _ := seen()
	v.statuses["test/deliver/evt_1"] = enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	v.pending = []*workflowpb.PendingActivityInfo{
		{Paused: true, Priority: &commonpb.Priority{FairnessKey: "wh_1"}},
		{Priority: &commonpb.Priority{FairnessKey: "wh_2"}},
	}
	require.True(t, e.Paused(t.Context(), "evt_107", "wh_9"), "the workflow is")
	require.True(t, e.Paused(t.Context(), "evt_1", "wh_1"), "its activity is")
	require.False(t, e.Paused(t.Context(), "evt_1", "wh_2"), "that of another webhook is")
	require.False(t, e.Paused(t.Context(), "evt_6", "wh_1"), "it does not exist")
	v.noAnswer = errors.New("no answer")
	require.False(t, e.Paused(t.Context(), "evt_107", "wh_9"), "Temporal does not say")
}

func TestPaused_DispatchesAreListedByOneQuestion(t *testing.T) {
	t.Parallel()
	e, v, _ := seen()
	v.paused = []string{"test/deliver/evt_1", "test/deliver/acme/evt_2", "other/deliver/evt_3"}
	paused, err := e.PausedDispatches(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"evt_1": true, "acme/evt_2": true}, paused, "of this installation")
	require.Equal(t, 1, v.lists)
	v.noList = errors.New("no answer")
	_, err = e.PausedDispatches(t.Context())
	require.Error(t, err)
}
