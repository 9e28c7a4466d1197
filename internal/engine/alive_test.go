package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/models"
)

// visible is a Temporal whose visibility store knows only some of the workflows.
type visible struct {
	temporal
	listed   map[string]bool                          // workflows that the visibility store says are running
	statuses map[string]enums.WorkflowExecutionStatus // of those that exist
	noList   error
	noAnswer error
	paused   []string                          // workflows that the visibility store says are
	pending  []*workflowpb.PendingActivityInfo // of each workflow

	mu        sync.Mutex
	lists     int
	described []string
}

func (v *visible) ListWorkflow(_ context.Context, in *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lists++
	if v.noList != nil {
		return nil, v.noList
	}
	out := &workflowservice.ListWorkflowExecutionsResponse{}
	if strings.Contains(in.GetQuery(), "TemporalPauseInfo") {
		for _, id := range v.paused {
			out.Executions = append(out.Executions, &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id}})
		}
		return out, nil
	}
	for id := range v.listed {
		if strings.Contains(in.GetQuery(), "'"+id+"'") {
			out.Executions = append(out.Executions, &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id}})
		}
	}
	if len(out.GetExecutions()) > int(in.GetPageSize()) {
		return nil, errors.New("more than a page")
	}
	return out, nil
}

func (v *visible) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.described = append(v.described, id)
	if v.noAnswer != nil {
		return nil, v.noAnswer
	}
	status, ok := v.statuses[id]
	if !ok {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: status}, PendingActivities: v.pending}, nil
}

// seen makes an engine on a Temporal with 250 dispatches. Most of them run and are listed, and a few are not.
func seen() (*engine.Engine, *visible, []string) {
	v := &visible{listed: map[string]bool{}, statuses: map[string]enums.WorkflowExecutionStatus{
		"test/deliver/evt_7":   enums.WORKFLOW_EXECUTION_STATUS_RUNNING, // the visibility store lags
		"test/deliver/evt_107": enums.WORKFLOW_EXECUTION_STATUS_PAUSED,
		"test/deliver/evt_207": enums.WORKFLOW_EXECUTION_STATUS_TERMINATED,
		"test/deliver/evt_208": enums.WORKFLOW_EXECUTION_STATUS_FAILED, // its code panicked
	}}
	var ids []string
	for i := range 250 {
		id := fmt.Sprintf("evt_%d", i)
		ids = append(ids, id)
		if i%100 > 8 || i%100 < 6 {
			v.listed["test/deliver/"+id] = true
		}
	}
	e, _, _ := setup(func(o *engine.Options) { o.Client = v })
	return e, v, ids
}

var unlisted = []string{"evt_106", "evt_107", "evt_108", "evt_206", "evt_207", "evt_208", "evt_6", "evt_7", "evt_8"}

func TestAlive_OnlyWhatIsNotListedIsAskedAbout(t *testing.T) {
	t.Parallel()
	e, v, ids := seen()
	alive, err := e.Alive(t.Context(), ids)
	require.NoError(t, err)
	require.Equal(t, 3, v.lists, "a hundred at once")
	slices.Sort(v.described)
	for i, id := range unlisted {
		require.Equal(t, "test/deliver/"+id, v.described[i])
	}
	require.Len(t, v.described, len(unlisted))
	require.Len(t, alive, 250-len(unlisted)+2)
	require.True(t, alive["evt_7"], "it runs, though the visibility store does not know yet")
	require.True(t, alive["evt_107"], "a paused workflow goes on when it is resumed")
	require.False(t, alive["evt_207"], "terminated")
	require.False(t, alive["evt_208"], "it cannot go on")
	require.False(t, alive["evt_6"], "never started")

	none, err := e.Alive(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAlive_WithoutVisibilityEachIsAskedAbout(t *testing.T) {
	t.Parallel()
	e, v, ids := seen()
	v.noList = serviceerror.NewResourceExhausted(enums.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "too many")
	for id := range v.listed {
		v.statuses[id] = enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	}
	alive, err := e.Alive(t.Context(), ids)
	require.NoError(t, err)
	require.Len(t, v.described, 250)
	require.Len(t, slices.Collect(maps.Keys(alive)), 250-len(unlisted)+2)
}

func TestAlive_WhatTemporalDoesNotSayIsNotDead(t *testing.T) {
	t.Parallel()
	e, v, ids := seen()
	v.noAnswer = serviceerror.NewUnavailable("away")
	_, err := e.Alive(t.Context(), ids)
	require.Error(t, err)
}

// However many there are to start, and however slow Temporal is, the caller waits and few are on their way.
func TestAlive_LaunchWaitStartsAFewAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		c.takes = time.Second
		many := make([]models.Dispatch, 50)
		for i := range many {
			many[i].ID = fmt.Sprint(i)
		}
		begun := time.Now()
		require.Equal(t, 50, e.LaunchWait(t.Context(), many...))
		require.Equal(t, 50, c.starts(), "they have been started when it returns")
		require.Equal(t, slots, c.most)
		require.Equal(t, 13*time.Second, time.Since(begun).Truncate(time.Second))

		c.fail(serviceerror.NewUnavailable("away"))
		require.Zero(t, e.LaunchWait(t.Context(), many...), "given up")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		e.LaunchWait(ctx, many...)
		e.Close()
	})
}
