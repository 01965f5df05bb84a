package xds

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/signetproxy/signet/translator/envoy"
)

// expectation is a response that Envoy has yet to answer.
type expectation struct {
	*response
	// from is the first of the revisions that it is of, the last of which is its
	// own: a stream may be behind.
	from uint64
	// optional says that Envoy may stay silent, because it had no subscription
	// of the type: the response holds no revision back.
	optional bool
	// warming says that it may be what clusters wait for.
	warming bool
	// unasked says of each row whether Envoy did not subscribe to it: it acknowledges
	// it too, and throws it away. Nil when it did to all.
	unasked []bool
	done    bool
	sent    time.Time
	// again says that it is sent a second time, for the revision of the first.
	again bool
}

// rejection is a version of a resource that Envoy refused.
type rejection struct {
	version  string
	revision uint64
	message  string
	// since is the revision of the first that was refused since Envoy took one:
	// the one before is what it uses still.
	since uint64
}

func (u *subscription) expect(r *response, from uint64, warming, again bool) {
	u.queue = append(u.queue, &expectation{
		response: r, from: from, optional: !u.active(), unasked: u.unasked(r.rows), warming: warming, sent: time.Now(), again: again,
	})
	if again {
		u.again++
	}
}

// finish notes that an expectation is over.
func (u *subscription) finish(e *expectation) {
	e.done = true
	if e.again {
		u.again--
	}
}

// unasked says which of the rows Envoy does not subscribe to.
func (u *subscription) unasked(rows []*row) []bool {
	var out []bool
	for i, r := range rows {
		if u.wants(r.Name) {
			continue
		}
		if out == nil {
			out = make([]bool, len(rows))
		}
		out[i] = true
	}
	return out
}

// isAsked says whether Envoy subscribed to a row.
func (e *expectation) isAsked(i int) bool { return len(e.unasked) == 0 || !e.unasked[i] }

// unsettled returns the lowest revision that the type is not through with:
// not answered, or rejected. It is the maximum when there is none.
func (u *subscription) unsettled() uint64 {
	lowest := uint64(math.MaxUint64)
	if e := u.oldest(); e != nil {
		lowest = e.from // the queue is in order, but for what is sent again
	}
	if u.again > 0 {
		for _, e := range u.queue {
			if !e.done && !e.optional {
				lowest = min(lowest, e.from)
			}
		}
	}
	for _, r := range u.rejected {
		lowest = min(lowest, r.since)
	}
	for _, w := range u.waiting {
		lowest = min(lowest, w.revision)
	}
	return lowest
}

// oldest returns the first response that Envoy owes an answer, or nil.
func (u *subscription) oldest() *expectation {
	for _, e := range u.queue {
		if !e.done && !e.optional {
			return e
		}
	}
	return nil
}

// owesAnswer says whether Envoy owes an answer to any response.
func (s *stream) owesAnswer() bool {
	for k := range s.subs {
		if s.subs[k].oldest() != nil {
			return true
		}
	}
	return false
}

// removing says whether a removal is not answered yet.
func (u *subscription) removing() bool {
	return slices.ContainsFunc(u.queue, func(e *expectation) bool { return !e.done && len(e.removed) > 0 })
}

// take finds the response that a nonce answers. Each can be answered once.
func (u *subscription) take(nonce string) (*expectation, int) {
	n, ok := parseNonce(nonce)
	if !ok {
		return nil, 0
	}
	i, ok := slices.BinarySearchFunc(u.queue, n, func(e *expectation, n uint64) int { return cmp.Compare(e.nonce, n) })
	if !ok || u.queue[i].done {
		return nil, 0
	}
	e := u.queue[i]
	u.finish(e)
	freed := 1
	for _, before := range u.queue[:i] {
		// Envoy answers in order: it will not answer these any more.
		if before.optional && !before.done {
			u.finish(before)
			freed++
		}
	}
	for len(u.queue) > 0 && u.queue[0].done {
		u.queue[0] = nil
		u.queue = u.queue[1:]
	}
	if len(u.queue) == 0 {
		u.queue = nil
	}
	return e, freed
}

// answered takes an ACK or a NACK.
func (s *stream) answered(k kind, req *discoveryv3.DeltaDiscoveryRequest) error {
	sub := &s.subs[k]
	e, freed := sub.take(req.GetResponseNonce())
	if e == nil {
		s.ignore(&s.server.counters.ignored.nonces, "unknown or repeated nonce")
		return nil
	}
	s.outstanding -= freed
	s.answeredNonce = max(s.answeredNonce, e.nonce)
	s.warmth.answered = s.warmth.answered || k == clusters
	s.warmth.taken(e)
	if req.GetErrorDetail() != nil {
		return s.nacked(e, words(k, req.GetErrorDetail().GetMessage()))
	}
	s.thaw(k, e.rows)
	s.status.Acks++
	s.server.counters.byType[k].acks.Add(1)
	gone := setOf(req.GetResourceNamesUnsubscribe())
	for i, r := range e.rows {
		if !e.isAsked(i) {
			continue
		}
		// What Envoy has unsubscribed from meanwhile it has thrown away.
		if _, dropped := gone[r.Name]; !dropped && sub.wants(r.Name) && sub.proves(r) {
			r.accept()
		}
		if r.published().Probe {
			s.probed(r)
		}
	}
	for _, r := range e.rows {
		// Envoy takes the same bad secret when it comes again, yet does not use
		// it: only other bytes make it good.
		if old, ok := sub.rejected[r.Name]; ok && (k != secrets || old.version != r.Version) {
			delete(sub.rejected, r.Name)
		}
	}
	for _, name := range e.removed {
		delete(sub.rejected, name)
	}
	return nil
}

// setOf returns nil for no names.
func setOf(names []string) map[string]struct{} {
	if len(names) == 0 {
		return nil
	}
	out := make(map[string]struct{}, len(names))
	for _, name := range names {
		out[name] = struct{}{}
	}
	return out
}

func (u *subscription) reject(name, version string, e *expectation, message string) {
	since := e.from
	if before, ok := u.rejected[name]; ok {
		since = min(since, before.since)
	}
	u.rejected[name] = rejection{version: version, revision: e.revision, message: message, since: since}
}

// nacked notes a rejection, and sends what was refused together apart, so that
// the good ones arrive and the bad ones are known.
func (s *stream) nacked(e *expectation, message string) error {
	k := e.kind
	sub := &s.subs[k]
	s.status.Nacks++
	s.server.counters.byType[k].nacks.Add(1)
	if k == secrets && strings.HasPrefix(message, misdirected) {
		return s.again(e, s.standing(suspects{k, e.rows}), nil)
	}
	if rows := s.early(e); len(rows) > 0 {
		return s.again(e, rows, nil)
	}
	nack := Nack{
		Fleet: s.fleet.name, Node: s.status.Node, Type: types[k], Revision: e.revision,
		Resources: make([]*envoy.Resource, len(e.rows)), LastGood: make([]*envoy.Resource, len(e.rows)),
		Removed: e.removed, Message: message,
	}
	for i, r := range e.rows {
		if k == secrets {
			r.published().refused.Store(true)
			delete(sub.unproven, r.Name)
		}
		nack.Resources[i], nack.LastGood[i] = r.published().Resource, r.lastGood()
		if sub.wants(r.Name) { // it may have been sent unasked
			sub.reject(r.Name, r.Version, e, message)
		}
	}
	s.log.Info("Envoy refused a response", "type", k, "revision", e.revision,
		"resources", len(e.rows), "first", firstName(e.response), "message", message)
	s.events = append(s.events, func(o Observer) { o.OnNack(nack) })
	if len(e.rows) == 0 || len(e.rows)+len(e.removed) < 2 {
		// Nothing is told apart by sending it again. A refused removal leaves
		// Envoy with what no revision holds: there is nothing else to send.
		for _, name := range e.removed {
			delete(sub.rejected, name)
		}
		return nil
	}
	return s.isolate(e, message)
}

// settle works out which revision the stream has acknowledged.
func (s *stream) settle() {
	s.status.Unacknowledged = s.outstanding
	now := s.settled()
	if now <= s.status.Acknowledged {
		return
	}
	ack := Ack{Fleet: s.fleet.name, Node: s.status.Node, Stream: s.id, Revision: now, First: s.status.Ready == 0}
	s.status.Acknowledged = now
	if ack.First {
		s.status.Ready = now
		s.log.Info("Envoy has acknowledged its first revision", "revision", now)
	}
	s.events = append(s.events, func(o Observer) { o.OnAck(ack) })
}

func (s *stream) settled() uint64 {
	if s.cursor == nil || !s.complete() {
		return 0
	}
	lowest := uint64(math.MaxUint64)
	for k := range s.subs {
		lowest = min(lowest, s.subs[k].unsettled())
	}
	if lowest == math.MaxUint64 {
		return s.cursor.revision
	}
	if lowest <= s.first {
		return 0
	}
	return lowest - 1
}

// complete says whether Envoy has asked for all that it needs to serve.
func (s *stream) complete() bool {
	if !s.subs[clusters].seen || !s.subs[listeners].seen {
		return false
	}
	return !s.awaitsScopes()
}

// awaitsScopes says whether Envoy has yet to ask for the scopes that a listener
// leads to.
func (s *stream) awaitsScopes() bool {
	if s.subs[scopes].seen || s.cursor.rows[scopes].Len() == 0 {
		return false
	}
	for _, r := range s.cursor.rows[listeners].All {
		if envoy.LeadsToScopes(r.Resource) {
			return true
		}
	}
	return false
}

const maxMessage = 1024

// misdirected is how Envoy refuses a secret that is not to blame. A client's
// server name may be "*", which to Envoy stands for all secrets until it is told
// that there is none of that name: it then judges each that comes as that one.
const misdirected = "Unexpected SDS secret (expecting *)"

// words are Envoy's, bounded. Its text may hold a dump of what it refused: of a
// secret nothing behind the start of a dump is kept.
func words(k kind, message string) string {
	if k == secrets {
		for _, mark := range []string{"inline_", "private_key", "PRIVATE KEY", "-----BEGIN"} {
			if i := strings.Index(message, mark); i >= 0 {
				message = message[:i] + "(cut)"
			}
		}
	}
	return printable(message, maxMessage)
}

func firstName(r *response) string {
	switch {
	case len(r.rows) > 0:
		return r.rows[0].Name
	case len(r.removed) > 0:
		return r.removed[0]
	default:
		return ""
	}
}
