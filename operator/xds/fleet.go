package xds

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cilium/statedb/part"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// Update is one committed revision.
type Update struct {
	// Revision grows from update to update.
	Revision uint64
	// Fleets are those that the revision changed. The first update of a fleet
	// holds all its resources; it may be empty.
	Fleets []FleetUpdate
}

// FleetUpdate is what a revision changed for one fleet.
type FleetUpdate struct {
	Fleet ir.Name
	// Changed are resources that are new or whose Version is. A resource with
	// the Version that the fleet has already is no change. To take a refused
	// resource back, publish its last good bytes, which have another Version.
	Changed []*envoy.Resource
	// Removed are resources that are gone. One that is in Changed too is not.
	Removed []ResourceKey
	// Gone says that the fleet is no more: its streams stay open and get
	// nothing, until a later update makes the fleet anew.
	Gone bool
}

// ResourceKey names a resource of a fleet.
type ResourceKey struct {
	Type envoy.Type
	Name string
}

// The history of a fleet is bounded by both: a stream that is further behind
// compares whole snapshots.
const (
	maxHistory      = 256
	maxHistoryNames = 8192
)

// fleet is what the server knows of one fleet. The server's mutex guards
// streams; Publish alone writes the rest.
type fleet struct {
	name    ir.Name
	head    atomic.Pointer[snapshot] // nil before the first revision
	streams map[*stream]struct{}
	seq     uint64
	// busy says that Publish works on the fleet; guarded by the mutex too.
	busy bool
}

// snapshot is one revision of a fleet's resources, immutable.
type snapshot struct {
	revision uint64
	seq      uint64
	rows     [kindCount]part.Tree[*row]
	// history are the changes that led here, oldest first.
	history []*delta
}

// delta names what led from snapshot seq-1 to snapshot seq.
type delta struct {
	seq   uint64
	names [kindCount][]string
	size  int
}

// change is one row that differs between two snapshots. One of old and now may
// be nil.
type change struct {
	name     string
	old, now *row
}

// changes are sorted by name within each kind.
type changes [kindCount][]change

func (s *snapshot) get(k kind, name string) *row {
	r, _ := s.rows[k].Get([]byte(name))
	return r
}

// size is the number of resources.
func (s *snapshot) size() int {
	n := 0
	for k := range s.rows {
		n += s.rows[k].Len()
	}
	return n
}

// commit makes and stores the next snapshot and returns the keys of types that
// the server does not serve.
func (f *fleet) commit(revision uint64, u *FleetUpdate) []ResourceKey {
	if u.Gone {
		f.head.Store(nil)
		return nil
	}
	f.seq++
	next := &snapshot{revision: revision, seq: f.seq}
	last := f.head.Load()
	if last == nil {
		for k := range next.rows {
			next.rows[k] = part.New[*row](part.RootOnlyWatch)
		}
	} else {
		next.rows, next.history = last.rows, last.history
	}
	d, unknown := next.apply(u)
	if last != nil {
		next.remember(d)
	}
	f.head.Store(next)
	return unknown
}

// apply changes the rows of a snapshot that is not yet published.
func (s *snapshot) apply(u *FleetUpdate) (d *delta, unknown []ResourceKey) {
	d = &delta{seq: s.seq}
	var txns [kindCount]*part.Txn[*row]
	open := func(k kind) *part.Txn[*row] {
		if txns[k] == nil {
			txns[k] = s.rows[k].Txn()
		}
		return txns[k]
	}
	note := func(k kind, name string) {
		d.names[k] = append(d.names[k], name)
		d.size++
	}
	for _, key := range u.Removed {
		k, ok := kindOf(key.Type)
		if !ok {
			unknown = append(unknown, key)
		} else if _, had := open(k).Delete([]byte(key.Name)); had {
			note(k, key.Name)
		}
	}
	for _, r := range u.Changed {
		k, ok := kindOf(r.Type)
		if !ok {
			unknown = append(unknown, ResourceKey{r.Type, r.Name})
			continue
		}
		old, had := open(k).Get([]byte(r.Name))
		if had && old.Version == r.Version {
			continue
		}
		next := newRow(k, r)
		next.succeed(old, s.seq)
		open(k).Insert([]byte(r.Name), next)
		note(k, r.Name)
	}
	for k, txn := range txns {
		if txn != nil {
			s.rows[k] = txn.Commit()
		}
	}
	return d, unknown
}

// remember appends to the history and cuts it to its bounds.
func (s *snapshot) remember(d *delta) {
	h := make([]*delta, 0, min(len(s.history)+1, maxHistory))
	h = append(append(h, s.history[max(0, len(s.history)+1-maxHistory):]...), d)
	size := 0
	for i, d := range slices.Backward(h) {
		if size += d.size; size > maxHistoryNames {
			h = h[i+1:]
			break
		}
	}
	s.history = h
}

// since returns what differs from an older snapshot of the same fleet. Its cost
// follows the changes as long as the history covers them.
func (s *snapshot) since(old *snapshot) *changes {
	if len(s.history) == 0 || s.history[0].seq > old.seq+1 {
		return s.compare(old)
	}
	first, _ := slices.BinarySearchFunc(s.history, old.seq+1, func(d *delta, seq uint64) int { return cmp.Compare(d.seq, seq) })
	var out changes
	for k := range out {
		var names []string
		for _, d := range s.history[first:] {
			names = append(names, d.names[k]...)
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			out[k] = appendChange(out[k], name, old.get(kind(k), name), s.get(kind(k), name))
		}
	}
	return &out
}

// compare walks both snapshots side by side.
func (s *snapshot) compare(old *snapshot) *changes {
	var out changes
	for k := range out {
		was, is := old.rows[k].Iterator(), s.rows[k].Iterator()
		a, oldRow, hasOld := was.Next()
		b, newRow, hasNew := is.Next()
		for hasOld || hasNew {
			order := bytes.Compare(a, b)
			switch {
			case !hasNew || hasOld && order < 0:
				out[k] = appendChange(out[k], oldRow.Name, oldRow, nil)
				a, oldRow, hasOld = was.Next()
			case !hasOld || order > 0:
				out[k] = appendChange(out[k], newRow.Name, nil, newRow)
				b, newRow, hasNew = is.Next()
			default:
				out[k] = appendChange(out[k], newRow.Name, oldRow, newRow)
				a, oldRow, hasOld = was.Next()
				b, newRow, hasNew = is.Next()
			}
		}
	}
	return &out
}

func appendChange(out []change, name string, old, now *row) []change {
	if same(old, now) {
		return out
	}
	return append(out, change{name: name, old: old, now: now})
}

// same says whether two rows of one name are alike for Envoy.
func same(a, b *row) bool {
	return a == b || a != nil && b != nil && a.Name == b.Name && a.Version == b.Version
}

// secret resolves a name that Envoy subscribes to: the row of that name, else
// the first row of its fall-back.
func (s *snapshot) secret(name string) *row {
	if r := s.get(secrets, name); r != nil {
		return r
	}
	for _, candidate := range secretFallback(name) {
		if r := s.get(secrets, candidate); r != nil {
			return r
		}
	}
	return nil
}

// secretFallback are the rows that serve a name which has none of its own, best
// first. A name without '/' is the server name of a handshake (SNI): it falls
// back to the wildcard of its parent domain. An HTTPProxy's wildcard covers one
// label, hence one entry.
func secretFallback(name string) []string {
	if !isForHandshakes(name) {
		return nil
	}
	label, parent, found := strings.Cut(name, ".")
	if !found || label == "" || label == "*" || parent == "" {
		return nil
	}
	return []string{"*." + parent}
}
