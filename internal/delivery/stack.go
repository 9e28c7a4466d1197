package delivery

import "os"

// stackOfPOST is about how much stack an attempt needs, in bytes.
const stackOfPOST = 12 << 10

// growStack makes room on the stack for an attempt while the stack is almost empty. Otherwise the stack would double
// several times on the way, and be copied each time.
//
//go:noinline
func growStack() byte {
	var room [stackOfPOST]byte
	return room[len(os.Args)%len(room)]
}
