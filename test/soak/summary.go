package soak

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/signetproxy/signet/test/soak/model"
)

// Summary is what a run did and found.
type Summary struct {
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`
	// Operations counts them by kind, Settled how often all was awaited.
	Operations map[string]int `json:"operations"`
	// Sequence is all that the seed has decided, an operation each.
	Sequence []string `json:"-"`
	Settled  int      `json:"settled"`
	Restarts int      `json:"restarts"`
	// Nacks are refusals of Envoys, as far as samples saw them.
	Nacks uint64 `json:"nacks"`

	EnvoysKilled, EnvoysAdded, EnvoysEnded int
	model.Tally

	// Spied are the streams that asked for another fleet's resources, Inspected
	// the Envoys that were looked into.
	Spied     int `json:"spied"`
	Inspected int `json:"inspected"`
	// Memory is the control plane's, of its longest life.
	Memory  Growth         `json:"memory"`
	Verdict *model.Verdict `json:"verdict"`
}

// Growth compares the first third of a life with the last one, by medians.
type Growth struct {
	Seconds                         float64
	Samples                         int
	HeapFirst, HeapLast             uint64
	GoroutinesFirst, GoroutinesLast int
}

// The least that counts as growth: a collection, a stream and a burst of changes
// move both figures by some of it.
const (
	heapSlack      = 16 << 20
	goroutineSlack = 40
	// A life shorter than this says nothing.
	longEnough = time.Minute
)

func (s *Summary) finish(h *model.History, w *watch) {
	s.Memory = growth(w.samples)
	if g := s.Memory; g.Seconds >= longEnough.Seconds() {
		if g.HeapLast > g.HeapFirst+g.HeapFirst/4+heapSlack || g.GoroutinesLast > g.GoroutinesFirst+goroutineSlack {
			h.Add(model.Finding{At: time.Now(), Kind: model.Resources, Text: fmt.Sprintf(
				"the control plane grew in %.0f s: heap %d to %d bytes, goroutines %d to %d",
				g.Seconds, g.HeapFirst, g.HeapLast, g.GoroutinesFirst, g.GoroutinesLast)})
		}
	}
	s.Spied = w.spied
	for _, n := range w.nacks {
		s.Nacks += n
	}
	s.Tally = h.Tally()
	s.Verdict = model.Check(h)
}

// growth judges the longest life of the control plane.
func growth(samples []memory) Growth {
	var longest []memory
	for i := 0; i < len(samples); {
		j := i
		for j < len(samples) && samples[j].Start == samples[i].Start {
			j++
		}
		if j-i > len(longest) {
			longest = samples[i:j]
		}
		i = j
	}
	n := len(longest)
	if n < 3 {
		return Growth{Samples: n}
	}
	first, last := longest[:n/3], longest[n-n/3:]
	return Growth{
		Seconds: longest[n-1].At.Sub(longest[0].At).Seconds(), Samples: n,
		HeapFirst:       median(first, func(m memory) uint64 { return m.Heap }),
		HeapLast:        median(last, func(m memory) uint64 { return m.Heap }),
		GoroutinesFirst: median(first, func(m memory) int { return m.Goroutines }),
		GoroutinesLast:  median(last, func(m memory) int { return m.Goroutines }),
	}
}

func median[T int | uint64](list []memory, of func(memory) T) T {
	values := make([]T, len(list))
	for i, m := range list {
		values[i] = of(m)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// Print writes the summary for people.
func (s *Summary) Print(w io.Writer) error {
	out := &printer{w: w}
	out.line("seed %d, %.0f s: %d operations, %d changes, %d times all acknowledged, %d restarts of the control plane",
		s.Seed, s.Seconds, s.total(), s.Changes, s.Settled, s.Restarts)
	out.line("Envoys: %d killed, %d added, %d ended; they refused %d responses", s.EnvoysKilled, s.EnvoysAdded, s.EnvoysEnded, s.Nacks)
	for _, name := range slices.Sorted(maps.Keys(s.Operations)) {
		out.line("  %5d %s", s.Operations[name], name)
	}
	out.line("%d requests, by code: %v", s.Requests, s.Codes)
	out.line("arrived at: %v", s.Arrived)
	out.line("%d streams asked for another fleet's resources; %d looks into Envoys", s.Spied, s.Inspected)
	m := s.Memory
	out.line("control plane, longest life of %.0f s: heap %.1f to %.1f MiB, goroutines %d to %d", m.Seconds,
		float64(m.HeapFirst)/(1<<20), float64(m.HeapLast)/(1<<20), m.GoroutinesFirst, m.GoroutinesLast)
	v := s.Verdict
	out.line("judged: %d exactly, %d during a change, %d unbounded; excused: %v", v.Exact, v.Ambiguous, v.Unbounded, v.Excused)
	if !v.Failed() {
		out.line("no violation")
		return out.err
	}
	out.line("VIOLATIONS: %v", v.ByKind)
	for _, x := range v.Violations {
		out.line("  %s %s: %s", x.At.Format("15:04:05.000000"), x.Kind, x.Text)
	}
	return out.err
}

// JSON writes the summary as one document.
func (s *Summary) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	return nil
}

func (s *Summary) total() int {
	n := 0
	for _, k := range s.Operations {
		n += k
	}
	return n
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); p.err == nil && err != nil {
		p.err = fmt.Errorf("summary: %w", err)
	}
}
