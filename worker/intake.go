package worker

import (
	"context"
	"time"

	sdk "go.temporal.io/sdk/worker"

	"github.com/posthorn/posthorn/internal/pause"
)

// intakePause is the time between two checks whether workflow tasks may be taken again.
const intakePause = 2 * time.Millisecond

// intake supplies the slots of workflow tasks. While dispatches in this process wait to be read it takes no more: they
// would wait here in no order, and keep renewing their tasks. In Temporal they cost nothing, and tenants take turns.
type intake struct {
	sdk.SlotSupplier

	crowded func() bool
}

// ReserveSlot is called before a poll.
func (s intake) ReserveSlot(ctx context.Context, info sdk.SlotReservationInfo) (*sdk.SlotPermit, error) {
	for s.crowded() {
		if err := pause.For(ctx, intakePause); err != nil {
			return nil, err
		}
	}
	return s.SlotSupplier.ReserveSlot(ctx, info)
}

// tuner supplies the main worker's slots.
func tuner(crowded func() bool) (sdk.WorkerTuner, error) {
	tasks, err := sdk.NewFixedSizeSlotSupplier(concurrentTasks)
	if err != nil {
		return nil, err
	}
	local, err := sdk.NewFixedSizeSlotSupplier(concurrentDispatches)
	if err != nil {
		return nil, err
	}
	others, err := sdk.NewFixedSizeSlotSupplier(concurrentOthers)
	if err != nil {
		return nil, err
	}
	return sdk.NewCompositeTuner(sdk.CompositeTunerOptions{WorkflowSlotSupplier: intake{tasks, crowded}, LocalActivitySlotSupplier: local,
		ActivitySlotSupplier: others, NexusSlotSupplier: others, SessionActivitySlotSupplier: others})
}
