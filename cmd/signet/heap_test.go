package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		reason string
		live   uint64
		want   int
	}{
		"nothing yet": {"a start collects seldom", 0, mostGrowth},
		"tiny":        {"there is a bound", mib, mostGrowth},
		"small":       {"the room decides", 64 * mib, 50},
		"at the edge": {"both are equal", 160 * mib, heapGrowth},
		"large":       {"the percentage decides", 1024 * mib, heapGrowth},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := growth(c.live); got != c.want {
				t.Errorf("%s: %d MiB may grow by %d %%, want %d", c.reason, c.live/mib, got, c.want)
			}
		})
	}
}

// TestTheHeapIsAdjustedAfterEachCollection has the heap grow and shrink.
func TestTheHeapIsAdjustedAfterEachCollection(t *testing.T) { //nolint:paralleltest // of the process
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	small := make([]*int64, 0, 100) // what has no pointers shares its memory with these
	for range cap(small) / 2 {
		small = append(small, new(int64))
	}
	newHeap().adjust()
	for range cap(small) / 2 {
		small = append(small, new(int64))
	}
	defer runtime.KeepAlive(small)
	kept := make([]byte, 200<<20)
	await(t, heapGrowth, heapGrowth)
	runtime.KeepAlive(kept)
	await(t, 10*heapGrowth, mostGrowth) // by what else lives in the process
}

func await(t *testing.T, least, most uint64) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; {
		runtime.GC()
		percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(percent)
		got := percent[0].Value.Uint64()
		if least <= got && got <= most {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the heap may grow by %d %%, want %d to %d", got, least, most)
		}
	}
}
