package model

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Header is what does not change.
type Header struct {
	Seed uint64
	// Fleets by name.
	Fleets map[string]Fleet
	// Backends by name.
	Backends map[string]Backend
}

// Fleet is one set of Envoys.
type Fleet struct {
	// Namespace is where its root HTTPProxies live.
	Namespace string
	// ClientCertificate is the Secret that it presents, as namespace/name.
	ClientCertificate string
}

// Backend is one server.
type Backend struct {
	Port int
	// TLS is false for a cleartext server.
	TLS bool
	// RequiresClient says that it turns away who presents no certificate.
	RequiresClient bool
	// Never says that no manifest ever allows a request here.
	Never bool
}

// Change is one file that was written or removed.
type Change struct {
	// N counts from 1 in order.
	N       int
	File    string
	Content string
	Removed bool
	// Invalid says that no object can be made of the content: its last good
	// version serves on, or none if the control plane never saw one.
	Invalid bool
	// Refused says that Envoy takes nothing that is made of the content: what it
	// had serves on, or nothing where there was nothing.
	Refused      bool
	Began, Ended time.Time
	// Why is the operation's name.
	Why string
}

// Settled says that all changes up to N were in force everywhere at a time.
type Settled struct {
	N  int
	At time.Time
}

// Presented is a certificate that a backend presents from a time on.
type Presented struct {
	Backend string
	// Authority is its issuer's fingerprint; Names are its DNS names.
	Authority    string
	Names        []string
	Began, Ended time.Time
}

// Seen is a request that arrived at a backend.
type Seen struct {
	ID      string
	Backend string
	At      time.Time
	// Connected is when its connection was accepted.
	Connected  time.Time
	Host, Path string
	HTTP2      bool
	TLS        bool
	SNI        string
	// Client is the fingerprint of the client certificate; empty without one.
	Client string
}

// Answer is what became of a request.
type Answer struct {
	ID, Fleet, Host, Path string
	// HTTPS says that it went over TLS, with the host as server name.
	HTTPS      bool
	Sent, Done time.Time
	// Code is 0 without an answer; Error then says why, else what the body of an
	// answer without a backend is. Handshake says that the error was the TLS
	// handshake's.
	Code      int
	Error     string
	Handshake bool
	// Certificate is the fingerprint of what the host presented, when the
	// connection was made for this request.
	Certificate string
	Backend     string
}

// FaultKind says what was done on purpose.
type FaultKind string

// Faults.
const (
	// EnvoyEnded is from the moment an Envoy was killed, or told to end, until
	// it was gone.
	EnvoyEnded FaultKind = "envoy ended"
	// NoControlPlane is from the moment the control plane was killed until every
	// ready Envoy of the fleet had a stream again.
	NoControlPlane FaultKind = "no control plane"
)

// Fault is something that was done on purpose to a fleet; "" is all of them.
type Fault struct {
	Kind         FaultKind
	Fleet        string
	Began, Ended time.Time
}

// Finding is a violation that was seen as it happened, such as a leak.
type Finding struct {
	At   time.Time
	Kind Kind
	Text string
}

// Note is an event without consequence for the model: starts, kills, samples.
type Note struct {
	At    time.Time
	What  string
	Value any
}

// History is what happened. Its methods may be called by any goroutine; nothing
// is ever changed or taken back.
type History struct {
	mu  sync.Mutex
	out *json.Encoder
	err error

	Header    Header
	Changes   []Change
	Settled   []Settled
	Presented []Presented
	Seen      []Seen
	Answers   []Answer
	Faults    []Fault
	Findings  []Finding
}

// NewHistory begins a history; out, when not nil, takes one JSON document a
// line for each event.
func NewHistory(h Header, out io.Writer) *History {
	history := &History{Header: h}
	if out != nil {
		history.out = json.NewEncoder(out)
	}
	history.write(h)
	return history
}

// line is an event as it is written.
type line struct {
	Event string
	Value any
}

func (h *History) write(v any) {
	if h.out == nil {
		return
	}
	if err := h.out.Encode(line{fmt.Sprintf("%T", v), v}); h.err == nil {
		h.err = err
	}
}

// Err is the first error of writing the history.
func (h *History) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Add records an event.
func (h *History) Add(event any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.write(event)
	switch e := event.(type) {
	case Change:
		h.Changes = append(h.Changes, e)
	case Settled:
		h.Settled = append(h.Settled, e)
	case Presented:
		h.Presented = append(h.Presented, e)
	case Seen:
		h.Seen = append(h.Seen, e)
	case Answer:
		h.Answers = append(h.Answers, e)
	case Fault:
		h.Faults = append(h.Faults, e)
	case Finding:
		h.Findings = append(h.Findings, e)
	}
}

// Count returns the number of answers so far.
func (h *History) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.Answers)
}

// Tally counts what is in a history.
type Tally struct {
	Requests int `json:"requests"`
	Changes  int `json:"changes"`
	// Codes counts requests by code, 0 for no answer.
	Codes map[int]int `json:"codes"`
	// Arrived counts what backends saw.
	Arrived map[string]int `json:"arrived"`
}

// Tally counts.
func (h *History) Tally() Tally {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := Tally{Requests: len(h.Answers), Changes: len(h.Changes), Codes: map[int]int{}, Arrived: map[string]int{}}
	for i := range h.Answers {
		t.Codes[h.Answers[i].Code]++
	}
	for i := range h.Seen {
		t.Arrived[h.Seen[i].Backend]++
	}
	return t
}
