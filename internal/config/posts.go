package config

import "math"

// Bounds of the POSTs in flight of a process.
const (
	// MaxPosts is the most that can be set, and MinPosts the least that a default is.
	MaxPosts = 4096
	MinPosts = 16

	// keptDescriptors are for the database's connections, Temporal's, log and listeners.
	keptDescriptors = 128
	// A POST that is connecting may have two connections under way, and idle connections are kept open between POSTs: a
	// quarter of the descriptors for POSTs comes to half of them, with another quarter for what is idle. The last is for
	// callers.
	share = 4
	// maxIdle bounds the idle connections of each of the sender's two pools, for https and plain http.
	maxIdle = 8192
)

// PostLimit returns how many POSTs this process makes at a time: MaxPosts if it is set, else what its limit of file
// descriptors allows.
func (c Config) PostLimit() int {
	if c.MaxPosts > 0 {
		return c.MaxPosts
	}
	return defaultPosts(descriptors())
}

// IdleLimit returns how many idle connections each of the sender's pools may keep.
func (c Config) IdleLimit() int { return idleLimit(descriptors()) }

// TooManyPosts reports whether MaxPosts is so high that POSTs alone may use up the file descriptors.
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

// spare is how many descriptors there are beyond keptDescriptors.
func spare(descriptors uint64) int {
	if descriptors <= keptDescriptors {
		return 0
	}
	return int(min(descriptors-keptDescriptors, math.MaxInt32))
}
