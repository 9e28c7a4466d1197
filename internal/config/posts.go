package config

import "math"

// Bounds of a process's POSTs in flight.
const (
	// MaxPosts is the largest allowed value, and MinPosts the smallest default.
	MaxPosts = 4096
	MinPosts = 16

	// keptDescriptors are reserved for the database's connections, Temporal's, the log and listeners.
	keptDescriptors = 128
	// A POST that is connecting may use two connections, and idle connections stay open between POSTs. With one
	// share-th of the descriptors for POSTs, they use up to half of them, and idle connections another quarter. The
	// rest is for callers.
	share = 4
	// maxIdle bounds the idle connections of each of the sender's two pools, for https and plain http.
	maxIdle = 8192
)

// PostLimit returns the most POSTs in flight in this process: MaxPosts if it is set, or else what its file-descriptor
// limit allows.
func (c Config) PostLimit() int {
	if c.MaxPosts > 0 {
		return c.MaxPosts
	}
	return defaultPosts(descriptors())
}

// IdleLimit returns how many idle connections each of the sender's pools may keep.
func (c Config) IdleLimit() int { return idleLimit(descriptors()) }

// TooManyPosts reports whether MaxPosts is so high that POSTs alone could use up the file descriptors.
func (c Config) TooManyPosts() bool { return tooMany(c.PostLimit(), descriptors()) }

func defaultPosts(descriptors uint64) int {
	return min(max(spare(descriptors)/share, MinPosts), MaxPosts)
}

func idleLimit(descriptors uint64) int {
	return min(max(spare(descriptors)/(2*share), 1), maxIdle)
}

func tooMany(posts int, descriptors uint64) bool {
	return 2*posts > max(spare(descriptors), 2*MinPosts)
}

// spare returns how many descriptors there are beyond keptDescriptors.
func spare(descriptors uint64) int {
	if descriptors <= keptDescriptors {
		return 0
	}
	return int(min(descriptors-keptDescriptors, math.MaxInt32))
}
