package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// heapGrowth is how much garbage there may be before it is collected, in
	// percent of what lives; 40 keeps 322 MiB for 5,000 hosts of a folder, this 286.
	heapGrowth = 20
	// heapRoom is how much garbage there may be at least, in bytes. A collection
	// delays the changes that it meets by some milliseconds, on few processors by
	// ten: one that is due at 20 % of a small heap would meet many.
	heapRoom = 32 << 20
	// mostGrowth bounds the growth of a heap that is almost empty, in percent.
	mostGrowth = 1000
	// nearlySame is a difference in percent that is not worth stopping the world for.
	nearlySame = 4
)

// keepHeapSmall leaves the choice to who has made one.
func keepHeapSmall() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	newHeap().adjust()
}

// heap sets how far the heap may grow, after each collection.
type heap struct {
	growth int
	// live is a pointer, too: one without any shares its memory with others, and is
	// not collected as long as one of those lives.
	live []metrics.Sample
}

func newHeap() *heap { return &heap{live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}} }

func (h *heap) adjust() {
	metrics.Read(h.live)
	if now := growth(h.live[0].Value.Uint64()); now < h.growth-nearlySame || now > h.growth+nearlySame {
		h.growth = now
		debug.SetGCPercent(now)
	}
	// The next collection finds h unreachable, and runs this once more.
	runtime.SetFinalizer(h, (*heap).adjust)
}

// growth is the percentage for a heap with that many live bytes.
func growth(live uint64) int {
	if live == 0 {
		return mostGrowth
	}
	return int(min(max(heapGrowth, 100*heapRoom/live), mostGrowth))
}
