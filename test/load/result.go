package load

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

// Result is what has come of a load.
type Result struct {
	// Requests had an outcome; of these, Unexpected were refused by Expect and
	// Errors had no answer, whether that was expected or not.
	Requests, Unexpected, Errors int
	// Failures are the first of the unexpected, in the order of their end.
	Failures []Failure
	// Latency is of answers, from the moment each was due.
	Latency Histogram
	// Late is how long after it was due each request was begun: the machine's
	// own share of the latency.
	Late Histogram
}

// Failure is an outcome that was refused.
type Failure struct {
	// Due and Done are the times of its Outcome.
	Due  time.Time `json:"due"`
	Done time.Time `json:"done"`
	Host string    `json:"host"`
	Path string    `json:"path"`
	// Code is 0 if there was no answer.
	Code int `json:"code"`
	// Body is its first 200 bytes.
	Body string `json:"body,omitempty"`
	// Why is what Expect said.
	Why string `json:"why"`
}

// String returns the failure on one line.
func (f Failure) String() string {
	return fmt.Sprintf("due %s, after %.1f ms, %s%s: %d: %s: %q", f.Due.Format("15:04:05.000000"),
		float64(f.Done.Sub(f.Due).Microseconds())/1000, f.Host, f.Path, f.Code, f.Why, f.Body)
}

// Wrong is an error with the first unexpected outcomes, if there were any.
func (r *Result) Wrong(what string) error {
	if r.Unexpected == 0 {
		return nil
	}
	var b strings.Builder
	for _, f := range r.Failures[:min(len(r.Failures), 10)] {
		b.WriteString("\n    " + f.String())
	}
	return fmt.Errorf("%s: %d of %d answers were not the expected ones, %d of them connection errors; the first:%s",
		what, r.Unexpected, r.Requests, r.Errors, b.String())
}

const bodyHead = 200

// record gathers outcomes.
type record struct {
	keep int

	mu sync.Mutex
	r  Result
}

func (r *record) add(o *Outcome, wrong error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Requests++
	if !o.Sent.IsZero() {
		r.r.Late.Add(o.Sent.Sub(o.Due))
	}
	if o.Err == nil {
		r.r.Latency.Add(o.Latency())
	} else {
		r.r.Errors++
	}
	if wrong == nil {
		return
	}
	r.r.Unexpected++
	if len(r.r.Failures) < r.keep {
		r.r.Failures = append(r.r.Failures, Failure{
			Due: o.Due, Done: o.Done, Host: o.Host, Path: o.Path, Code: o.Code,
			Body: string(o.Body[:min(len(o.Body), bodyHead)]), Why: wrong.Error(),
		})
	}
}

func (r *record) result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.r
	out.Failures = append([]Failure(nil), r.r.Failures...)
	return out
}

// Histogram counts durations in buckets that grow by 2 %, from a microsecond
// to two minutes. It is a value; copies are independent.
type Histogram struct {
	counts [buckets]uint32
	n      int
	max    time.Duration
}

const (
	buckets = 950
	growth  = 1.02
)

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	i := 0
	if us := float64(d) / float64(time.Microsecond); us > 1 {
		i = min(int(math.Log(us)/math.Log(growth)), buckets-1)
	}
	h.counts[i]++
	h.n++
	h.max = max(h.max, d)
}

// N is how many durations were counted.
func (h *Histogram) N() int { return h.n }

// Max is the longest.
func (h *Histogram) Max() time.Duration { return h.max }

// At returns the duration that a share of all, from 0 to 1, does not exceed, by
// the bucket's upper edge: at most 2 % too long. It is 0 if there are none.
func (h *Histogram) At(share float64) time.Duration {
	rank, seen := int(math.Ceil(share*float64(h.n))), 0
	for i := range h.counts {
		c := h.counts[i]
		if seen += int(c); c > 0 && seen >= rank {
			return min(time.Duration(math.Pow(growth, float64(i+1))*float64(time.Microsecond)), h.max)
		}
	}
	return h.max
}
