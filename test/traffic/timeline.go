package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signetproxy/signet/test/load"
)

// timeline knows when each version of a route was written and first seen in
// traffic, and so which version an answer may show.
type timeline struct {
	// backend of a version.
	backend func(version int) string

	mu            sync.Mutex
	written, seen []time.Time
}

// write notes that the next version is about to be written, and returns it.
func (t *timeline) write() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written = append(t.written, time.Now())
	return len(t.written) - 1
}

// saw notes that a version is in traffic.
func (t *timeline) saw(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = append(t.seen, at)
}

// judge refuses an answer that is not a 200 by the backend of its version, or
// whose version was no more or not yet the route's: a request that was sent
// after a version was seen must not get one before it.
func (t *timeline) judge(o *load.Outcome) error {
	if o.Err != nil {
		return o.Err
	}
	if o.Code != http.StatusOK {
		return fmt.Errorf("want 200, with %s", o.Header)
	}
	header := o.Header.Get("X-Version")
	v, err := strconv.Atoi(strings.TrimPrefix(header, "v"))
	if err != nil {
		return fmt.Errorf("X-Version is %q", header)
	}
	if got, want := o.Header.Get("X-Backend"), t.backend(v); got != want {
		return fmt.Errorf("version %d is answered by backend %q, want %q", v, got, want)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if v >= len(t.written) || t.written[v].After(o.Done) {
		return fmt.Errorf("version %d was not written yet", v)
	}
	oldest := len(t.seen) - 1
	for oldest > 0 && t.seen[oldest].After(o.Sent) {
		oldest--
	}
	if v < oldest {
		return fmt.Errorf("version %d, but version %d was in traffic before the request was sent", v, oldest)
	}
	return nil
}

// versionOf is the version that an answer shows, -1 for none.
func versionOf(o *load.Outcome) int {
	v, err := strconv.Atoi(strings.TrimPrefix(o.Header.Get("X-Version"), "v"))
	if err != nil {
		return -1
	}
	return v
}
