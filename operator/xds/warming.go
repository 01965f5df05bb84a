package xds

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// WarmingObserver is an Observer that also wants to know which clusters do not
// get warm. It is called as an Observer is. Each cluster of a stream is told
// when it begins, perhaps again when it becomes known that it is this one that
// Envoy waits for, and once when it ends, however its stream ends.
type WarmingObserver interface {
	Observer
	// OnWarming says that clusters which were sent are not acknowledged for
	// longer than Options.WarmingTimeout, although Envoy answers otherwise.
	OnWarming(Warming)
	// OnWarm says that clusters of which OnWarming spoke no longer are.
	OnWarm(Warm)
}

// Warming are clusters of one stream that began not to get warm. Envoy keeps
// the acknowledgement of all clusters back while one of them warms, so that
// with more than one that misses nothing it is not known which it is.
type Warming struct {
	Fleet    ir.Name
	Node     string
	Stream   uint64           // told apart from other streams of the fleet by it
	Clusters []WarmingCluster // by name
}

// WarmingCluster is a cluster that does not get warm.
type WarmingCluster struct {
	Name string
	// Revision is the one that brought it, Since when it was sent.
	Revision uint64
	Since    time.Time
	// Missing are the resources that it waits for.
	Missing []Missing
	// Outside says that it waits for what no resource brings: that a name is
	// resolved, or the first answer to a health check; and that it alone does.
	// Without either of both it is not known whether it is this cluster or a
	// neighbour that Envoy waits for.
	Outside bool
	// Taken says that some Envoy of the fleet has acknowledged these very bytes:
	// what it waits for is there for others.
	Taken bool
	// Served says that Envoys of the fleet have taken other bytes of it before:
	// they serve it with those meanwhile.
	Served bool
}

// alone says whether it is known that Envoy waits for it, though it misses nothing.
func (c *WarmingCluster) alone() bool { return c.Outside && len(c.Missing) == 0 }

// Missing is a resource without which a cluster does not get warm.
type Missing struct {
	Type   envoy.Type
	Name   string
	Reason MissingReason
}

// MissingReason says why Envoy does not have a resource.
type MissingReason string

// The reasons, in the order in which they are looked for.
const (
	// MissingInFleet is of a name that the fleet has no resource for.
	MissingInFleet MissingReason = "not in the fleet"
	// MissingRefused is of a resource that Envoy has refused.
	MissingRefused MissingReason = "refused"
	// MissingSubscription is of a name that Envoy has not asked for.
	MissingSubscription MissingReason = "not subscribed"
	// MissingAnswer is of a resource that was sent and not acknowledged.
	MissingAnswer MissingReason = "not acknowledged"
)

// Warm are clusters of one stream that no longer fail to get warm.
type Warm struct {
	Fleet    ir.Name
	Node     string
	Stream   uint64
	Clusters map[string]WarmOutcome // by name
}

// WarmOutcome says how the warming of a cluster ended.
type WarmOutcome string

// The outcomes.
const (
	// WarmAcknowledged is of a cluster that Envoy uses now.
	WarmAcknowledged WarmOutcome = "acknowledged"
	// WarmTaken is of a cluster that this Envoy still waits for, while another of
	// the fleet has come to use it. It is told of again, as one that is served.
	WarmTaken WarmOutcome = "taken by another"
	// WarmRefused is of a cluster that Envoy has refused: a Nack was told.
	WarmRefused WarmOutcome = "refused"
	// WarmRemoved is of a cluster that the fleet has no more.
	WarmRemoved WarmOutcome = "removed"
	// WarmClosed is of a cluster whose stream has ended.
	WarmClosed WarmOutcome = "stream closed"
)

// OnWarming implements WarmingObserver, for those that are ones.
func (all Observers) OnWarming(w Warming) {
	for _, o := range all {
		if o, ok := o.(WarmingObserver); ok {
			o.OnWarming(w)
		}
	}
}

// OnWarm implements WarmingObserver, for those that are ones.
func (all Observers) OnWarm(w Warm) {
	for _, o := range all {
		if o, ok := o.(WarmingObserver); ok {
			o.OnWarm(w)
		}
	}
}

const (
	// maxPatience is how many times the timeout a cluster is given while others
	// get on: a trickle of new clusters hides a stuck one no longer than that.
	maxPatience = 6
	// looksPerTimeout is how often the suspects are looked at anew.
	looksPerTimeout = 5
)

// warmth is what a stream knows of clusters that do not get warm.
type warmth struct {
	suspects map[string]WarmingCluster
	// progress is when Envoy last did what brings some cluster nearer to being
	// warm: it asked for something new, or answered what it had asked for.
	progress time.Time
	// next is when the suspects are looked at anew.
	next time.Time
	// answered says that Envoy has answered for clusters since the last look.
	answered bool
}

// asked notes that Envoy has asked for a name for the first time. No cluster waits
// for what is for a handshake.
func (w *warmth) asked(k kind, name string) {
	if k == endpoints || k == secrets && !isForHandshakes(name) {
		w.progress = time.Now()
	}
}

// taken notes that Envoy has answered a response.
func (w *warmth) taken(e *expectation) {
	if !e.warming {
		return
	}
	for _, r := range e.rows {
		w.asked(e.kind, r.Name)
	}
	for _, name := range e.removed {
		w.asked(e.kind, name)
	}
}

// warm looks for clusters that do not get warm, and returns when to look again;
// zero: when something has come.
func (s *stream) warm(now time.Time) time.Time {
	w := &s.warmth
	if w.answered && len(w.suspects) > 0 {
		s.endWarming()
	}
	w.answered = false
	first := s.oldestClusters()
	if first == nil {
		return time.Time{}
	}
	due := s.overdue(first)
	if len(w.suspects) == 0 && now.Before(due) {
		return due
	}
	if now.Before(w.next) {
		return w.next
	}
	timeout := s.server.opts.WarmingTimeout
	w.next = now.Add(timeout / looksPerTimeout)
	s.endTaken()
	if !now.Before(due) {
		s.beginWarming(s.suspect(now.Add(-timeout)))
	}
	return w.next
}

// oldestClusters returns the first response with clusters that Envoy owes an
// answer to, or nil.
func (s *stream) oldestClusters() *expectation {
	for _, e := range s.subs[clusters].queue {
		if !e.done && !e.optional && len(e.rows) > 0 {
			return e
		}
	}
	return nil
}

// overdue is when the clusters of a response become suspects. An Envoy that has
// said nothing since is busy or stuck, and its clusters are not to blame: it is
// given as long as keepalive needs to find out.
func (s *stream) overdue(e *expectation) time.Time {
	timeout := s.server.opts.WarmingTimeout
	if s.answeredNonce < e.nonce && !s.warmth.progress.After(e.sent) {
		return e.sent.Add(max(timeout, s.server.opts.KeepaliveTime+s.server.opts.KeepaliveTimeout))
	}
	start := e.sent
	if s.warmth.progress.After(start) {
		start = s.warmth.progress
	}
	if latest := e.sent.Add((maxPatience - 1) * timeout); start.After(latest) {
		start = latest
	}
	return start.Add(timeout)
}

// beginWarming tells of those that are not told yet, or were while it may have been
// a neighbour.
func (s *stream) beginWarming(found []WarmingCluster) {
	var begun []WarmingCluster
	for _, c := range found {
		if was, told := s.warmth.suspects[c.Name]; !told || c.alone() && !was.alone() && len(was.Missing) == 0 {
			begun = append(begun, c)
			s.warmth.suspects[c.Name] = c
		}
	}
	if len(begun) == 0 {
		return
	}
	slices.SortFunc(begun, func(a, b WarmingCluster) int { return cmp.Compare(a.Name, b.Name) })
	s.showWarming()
	s.log.Info("Clusters do not get warm", "clusters", len(begun), "first", begun[0].Name,
		"missing", begun[0].Missing, "revision", begun[0].Revision)
	w := Warming{Fleet: s.fleet.name, Node: s.status.Node, Stream: s.id, Clusters: begun}
	s.events = append(s.events, func(o Observer) {
		if o, ok := o.(WarmingObserver); ok {
			o.OnWarming(w)
		}
	})
}

// endWarming tells of the suspects that no response still owed an answer holds.
func (s *stream) endWarming() {
	ended := map[string]WarmOutcome{}
	for name := range s.warmth.suspects {
		_, refused := s.subs[clusters].rejected[name]
		switch {
		case s.cursor.get(clusters, name) == nil:
			ended[name] = WarmRemoved
		case refused:
			ended[name] = WarmRefused
		default:
			ended[name] = WarmAcknowledged
		}
	}
	for _, e := range s.subs[clusters].queue {
		if e.done {
			continue
		}
		for _, r := range e.rows {
			delete(ended, r.Name)
		}
	}
	s.tellWarm(ended)
}

// endTaken tells of the suspects that another Envoy has come to use: it may have got
// them warm without ever complaining, and after this one had.
func (s *stream) endTaken() {
	ended := map[string]WarmOutcome{}
	for name, was := range s.warmth.suspects {
		if r := s.cursor.get(clusters, name); r != nil && r.line.served() && !was.Taken && !was.Served {
			ended[name] = WarmTaken
		}
	}
	s.tellWarm(ended)
}

// closeWarming tells of all that are left when the stream ends.
func (s *stream) closeWarming() {
	ended := map[string]WarmOutcome{}
	for name := range s.warmth.suspects {
		ended[name] = WarmClosed
	}
	s.tellWarm(ended)
	s.tell()
}

func (s *stream) tellWarm(ended map[string]WarmOutcome) {
	if len(ended) == 0 {
		return
	}
	for name := range ended {
		delete(s.warmth.suspects, name)
	}
	s.showWarming()
	first := sortedKeys(ended)[0]
	s.log.Info("Clusters wait no longer to get warm", "clusters", len(ended), "first", first, "outcome", ended[first])
	w := Warm{Fleet: s.fleet.name, Node: s.status.Node, Stream: s.id, Clusters: ended}
	s.events = append(s.events, func(o Observer) {
		if o, ok := o.(WarmingObserver); ok {
			o.OnWarm(w)
		}
	})
}

func (s *stream) showWarming() {
	s.status.Warming = slices.SortedFunc(maps.Values(s.warmth.suspects),
		func(a, b WarmingCluster) int { return cmp.Compare(a.Name, b.Name) })
}
