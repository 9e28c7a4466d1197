package svix

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

const tasksPath = base + "/background-task"

// tasks adds the calls about tasks. A task is a recovery, an erasure, or statistics that are computed on request.
func tasks(api *systems.API) {
	since := []systems.Field{{Name: "since", Required: true}, {Name: "until"}}
	api.Handle(systems.Operation{Method: http.MethodPost, Path: oneEndpoint + "/recover", Body: systems.JSON, Fields: since}, recoverEndpoint)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: oneEndpoint + "/replay-missing", Body: systems.JSON, Fields: since}, replayMissing)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: oneEndpoint + "/bulk-replay", Body: systems.JSON, Fields: append(slices.Clone(since),
		systems.Field{Name: "eventTypes", Alias: "filterTypes", Kind: systems.Names}, systems.Field{Name: "status", Kind: systems.Number, Max: statusCanceled},
		systems.Field{Name: "channel"}, systems.Field{Name: "tag"}, systems.Field{Name: "statusCodeClass", Kind: systems.Number, Max: 500})}, bulkReplay)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: messagesOf + "/expunge-all-contents", Body: systems.OptionalJSON}, expungeAll)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: tasksPath, Admins: true, Query: append(slices.Clone(sorting),
		systems.Field{Name: "status", OneOf: []string{taskRunning, taskFinished, taskFailed}}, systems.Field{Name: "task", OneOf: taskNames})}, listTasks)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: tasksPath + "/:task_id", Admins: true}, showTask)
}

// The statuses of a task.
const (
	taskRunning  = "running"
	taskFinished = "finished"
	taskFailed   = "failed"
)

// The kinds of tasks.
const (
	taskRecover    = "endpoint.recover"
	taskReplay     = "endpoint.replay"
	taskBulkReplay = "endpoint.bulk-replay"
	taskPurge      = "application.purge_content"
	taskStats      = "application.stats"
	taskTypes      = "event-type.aggregate"
)

// taskNames are all kinds of tasks that Svix has.
var taskNames = []string{taskReplay, taskRecover, taskStats, "message.broadcast", "sdk.generate", taskTypes, taskPurge, taskBulkReplay}

type task struct {
	ID        string         `json:"id"`
	Status    string         `json:"status"`
	Task      string         `json:"task"`
	Data      map[string]any `json:"data"`
	UpdatedAt time.Time      `json:"updatedAt"`
}

func taskOf(r *models.Recovery) task {
	t := task{ID: prefixTask + strings.TrimPrefix(r.ID, models.PrefixRecovery), Status: taskRunning, Task: taskRecover, UpdatedAt: r.CreatedAt.UTC(),
		Data: map[string]any{"released": r.Released, "skipped": r.Skipped, "delivered": r.Delivered, "failed": r.Failed}}
	if r.Total != models.TotalUnknown {
		t.Data["total"] = r.Total
	}
	switch r.Status {
	case models.RecoveryRunning:
	case models.RecoveryDone:
		t.Status = taskFinished
	case models.RecoveryCanceled, models.RecoveryStopped:
		t.Status = taskFailed
	}
	switch {
	case r.Missed && len(r.Statuses) == 0:
		t.Task = taskReplay
	case r.WebhookID == "", slices.Contains(r.Statuses, models.Delivered), slices.Contains(r.Statuses, models.Canceled):
		t.Task = taskBulkReplay
	}
	if r.FinishedAt != nil {
		t.UpdatedAt = r.FinishedAt.UTC()
	}
	return t
}

func purgeOf(x *models.Erasure) task {
	t := task{ID: prefixTask + strings.TrimPrefix(x.ID, models.PrefixErasure), Status: taskRunning, Task: taskPurge, UpdatedAt: x.CreatedAt.UTC(),
		Data: map[string]any{"messagesPurged": x.Erased}}
	if x.FinishedAt != nil {
		t.Status, t.UpdatedAt = taskFinished, x.FinishedAt.UTC()
	}
	return t
}

// recoverFor is how far back a recovery may go, as in Svix.
const recoverFor = 14 * 24 * time.Hour

// recoverEndpoint sends failed and held deliveries again.
func recoverEndpoint(q *systems.Request) error { return startRecovery(q, service.RecoveryRequest{}) }

// replayMissing sends the messages that match the endpoint and have never been sent to it.
func replayMissing(q *systems.Request) error {
	return startRecovery(q, service.RecoveryRequest{Missed: true})
}

// replayed are the delivery statuses that a bulk replay takes, by message status.
var replayed = map[int][]models.DeliveryStatus{
	statusSuccess:  {models.Delivered},
	statusPending:  {models.Held},
	statusFail:     {models.Failed},
	statusCanceled: {models.Canceled},
}

// bulkReplay sends deliveries again, received ones as well as failed or held ones, as far as the body does not narrow
// them.
func bulkReplay(q *systems.Request) error {
	r := service.RecoveryRequest{Statuses: []models.DeliveryStatus{models.Delivered, models.Failed, models.Held}, EventTypes: q.In.List("eventTypes")}
	if status := number(q, "status"); status != nil {
		if r.Statuses = replayed[*status]; r.Statuses == nil {
			q.Problemf("status", "must be 0, 1, 2 or 4: deliveries that are being sent are not replayed")
		}
	}
	r.Channel, r.Tag = q.In.String("channel"), q.In.String("tag")
	if class := number(q, "statusCodeClass"); class != nil {
		if r.StatusClass = new(*class / 100); *class%100 != 0 {
			q.Problemf("statusCodeClass", "must be 0, 100, 200, 300, 400 or 500")
		}
	}
	return startRecovery(q, r)
}

// startRecovery starts a recovery of the window in the body.
func startRecovery(q *systems.Request, r service.RecoveryRequest) error {
	w, err := endpointNamed(q)
	if err != nil {
		return err
	}
	since, until := instant(q, "since"), instant(q, "until")
	if !since.IsZero() && q.API.Service.Now().Sub(since) > recoverFor {
		q.Problemf("since", "must be at most 14 days ago")
	}
	r.Wrong = q.Wrong()
	if r.Since = &since; !until.IsZero() {
		r.Until = &until
	}
	recovery, err := q.API.Service.Recover(q.Ctx(), q.Tenant, w.ID, r)
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusAccepted, taskOf(&recovery))
	return nil
}

// expungeAll erases the payloads of all existing messages.
func expungeAll(q *systems.Request) error {
	x, err := q.API.Service.Erase(q.Ctx(), q.Tenant, service.ErasureRequest{Until: new(q.API.Service.Now().Add(time.Millisecond)), All: true})
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusAccepted, purgeOf(&x))
	return nil
}

// listTasks lists the recoveries and erasures of all tenants. Their ids without prefixes have one common order.
func listTasks(q *systems.Request) error {
	w, err := wholeWindowOf(q, descending, descending, func(id string) ([]string, error) {
		if id = native(id, prefixTask, ""); id == "" {
			return nil, nil
		}
		return []string{id}, nil
	})
	if err != nil {
		return err
	}
	page := func(prefix string) models.Page {
		p := w.page
		if len(p.Key) > 0 {
			p.Key = []string{prefix + p.Key[0]}
		}
		return p
	}
	recoveries, moreRecoveries, err := q.API.Service.Recoveries(q.Ctx(), q.Tenant, models.RecoveryFilter{}, page(models.PrefixRecovery))
	if err != nil {
		return err
	}
	erasures, moreErasures, err := q.API.Service.Erasures(q.Ctx(), q.Tenant, page(models.PrefixErasure))
	if err != nil {
		return err
	}
	var all []task
	for i := range recoveries {
		all = append(all, taskOf(&recoveries[i]))
	}
	for i := range erasures {
		all = append(all, purgeOf(&erasures[i]))
	}
	slices.SortFunc(all, func(a, b task) int {
		if w.page.Reverse {
			return strings.Compare(a.ID, b.ID)
		}
		return strings.Compare(b.ID, a.ID)
	})
	more := moreRecoveries != "" || moreErasures != "" || len(all) > w.page.Limit
	status, name := q.In.String("status"), q.In.String("task")
	return answerKept(q, w, all[:min(len(all), w.page.Limit)], func(t *task) string { return t.ID }, more, func(t *task) bool {
		return (status == "" || t.Status == status) && (name == "" || t.Task == name)
	})
}

func showTask(q *systems.Request) error {
	if text, ok := strings.CutPrefix(q.Param("task_id"), prefixStats); ok {
		return showStats(q, text)
	}
	id := native(q.Param("task_id"), prefixTask, "")
	if id == "" {
		return service.Refuse(service.NotFound, "there is no such task")
	}
	r, err := q.API.Service.Recovery(q.Ctx(), q.Tenant, models.PrefixRecovery+id)
	if err == nil {
		q.PureJSON(http.StatusOK, taskOf(&r))
		return nil
	}
	if !isNotFound(err) {
		return err
	}
	x, err := q.API.Service.Erasure(q.Ctx(), q.Tenant, models.PrefixErasure+id)
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, purgeOf(&x))
	return nil
}
