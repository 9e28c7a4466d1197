package delivery

import "os"

// stackOfPOST is about what a goroutine's stack takes for an attempt, in bytes.
const stackOfPOST = 12 << 10

// growStack makes room on the stack for an attempt while there is hardly anything on it. It would double several times on
// the way otherwise, and be copied each time.
//
//go:noinline
func growStack() byte {
	var room [stackOfPOST]byte
	return room[len(os.Args)%len(room)]
}
