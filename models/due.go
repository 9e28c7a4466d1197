package models

import "context"

// Due is what waits in the database for a worker.
type Due struct {
	Silent  bool // processes that DeclareGone would declare gone
	Gone    bool // processes for ClaimGone
	Jobs    bool // jobs for RunJob
	Batches bool // batches for RunBatch
}

// Due returns what waits for a worker. Every worker asks twice a second: it is one statement, which reads the rows of the
// few processes, and one row of jobs and batches at most.
func (s *Store) Due(ctx context.Context) (due Due, err error) {
	err = s.db.WithContext(ctx).Raw(`SELECT EXISTS (SELECT 1 FROM processes WHERE `+isSilent+`) AS silent,
		EXISTS (SELECT 1 FROM processes WHERE `+isUnclaimed+`) AS gone,
		EXISTS (SELECT 1 FROM jobs WHERE `+isDue+`) AS jobs,
		(SELECT tenant FROM batches ORDER BY tenant LIMIT 1) IS NOT NULL AS batches`, s.dbAgo(SilentFor), s.dbAgo(walkAgain), s.now()).Scan(&due).Error
	return due, err
}
