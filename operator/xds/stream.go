package xds

import (
	"cmp"
	"context"
	"crypto/x509"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/translator/envoy"
)

// wire is the part of a gRPC stream that is used.
type wire interface {
	Context() context.Context
	Recv() (*discoveryv3.DeltaDiscoveryRequest, error)
	SendMsg(m any) error
}

// stream is one Envoy. Its own goroutine alone touches it, but for wake, view
// and blocked.
type stream struct {
	server *Server
	fleet  *fleet
	who    peer.Identity
	conn   wire
	log    logr.Logger
	id     uint64

	wake chan struct{} // of size 1
	// distrusted says that the authority of its certificate is trusted no more.
	distrusted atomic.Bool

	// cursor is the snapshot that Envoy has been sent, as far as it subscribes;
	// nil before the fleet's first revision. What differs is in lingering.
	cursor *snapshot
	// first is the revision of the first cursor.
	first uint64
	subs  [kindCount]subscription
	// dependents are, by wildcard row, the secrets' names that may resolve to it.
	dependents map[string]map[string]struct{}
	// lingering are the names that Envoy has and no revision holds any more, and
	// the revision that dropped them: they are removed when nothing uses them.
	lingering [kindCount]map[string]uint64
	leavers   leavers
	cold      cold
	// suspected are the parts of refused responses that wait to be sent again.
	suspected []suspects
	// names are those of all subscriptions, nameBytes theirs; owedBytes are of
	// the names that are owed before the first revision.
	names, nameBytes, owedBytes int

	nonce         uint64
	answeredNonce uint64 // the newest that Envoy has answered
	outstanding   int
	warmth        warmth
	// serving says that what is sent now was asked for, or is for new clusters.
	serving bool
	// since is the revision that what is sent now was sent for before; 0: none.
	since uint64
	// from is the first revision of several that what is sent now is of; 0: one.
	from uint64
	// due is when to take a turn though nothing has come; zero: never.
	due time.Time

	status  StreamState // what goes into view
	events  []func(Observer)
	blocked atomic.Int64 // since when a send blocks, in ns since 1970; 0: none
	view    atomic.Pointer[StreamState]
}

// requestBuffer is how many requests a stream reads ahead.
const requestBuffer = 16

// inbox holds the requests that a stream has read and is not through with: their
// bytes together are bounded as those of one are.
type inbox struct {
	requests chan *discoveryv3.DeltaDiscoveryRequest
	limit    int64
	held     atomic.Int64  // bytes
	freed    chan struct{} // of size 1
}

func newInbox(limit int) *inbox {
	return &inbox{
		requests: make(chan *discoveryv3.DeltaDiscoveryRequest, requestBuffer),
		limit:    int64(limit), freed: make(chan struct{}, 1),
	}
}

// put waits for room; it fails when ctx ends. One goroutine calls it.
func (b *inbox) put(ctx context.Context, req *discoveryv3.DeltaDiscoveryRequest) bool {
	size := int64(proto.Size(req))
	for held := b.held.Load(); held > 0 && held+size > b.limit; held = b.held.Load() {
		select {
		case <-b.freed:
		case <-ctx.Done():
			return false
		}
	}
	b.held.Add(size)
	select {
	case b.requests <- req:
		return true
	case <-ctx.Done():
		return false
	}
}

// done makes the room of a request free again.
func (b *inbox) done(req *discoveryv3.DeltaDiscoveryRequest) {
	b.held.Add(-int64(proto.Size(req)))
	select {
	case b.freed <- struct{}{}:
	default: // put is awake already
	}
}

func newStream(s *Server, who peer.Identity, conn wire) *stream {
	st := &stream{
		server: s, who: who, conn: conn,
		log:        s.opts.Log.WithValues("fleet", who.Fleet, "peer", who.Address),
		wake:       make(chan struct{}, 1),
		dependents: map[string]map[string]struct{}{},
		status:     StreamState{Identity: who.URI, Address: who.Address, Since: time.Now()},
	}
	if who.Connection != nil {
		st.status.Expires = who.Connection.Expires
	}
	for k := range st.subs {
		st.subs[k].names = map[string]struct{}{}
		st.subs[k].rejected = map[string]rejection{}
		st.subs[k].waiting = map[string]waiter{}
		st.lingering[k] = map[string]uint64{}
	}
	st.warmth.suspects = map[string]WarmingCluster{}
	st.show()
	return st
}

// run serves the stream until it fails, its Envoy goes, or stop closes.
func (s *stream) run(stop <-chan struct{}) error {
	ctx := s.conn.Context()
	box := newInbox(s.server.opts.MaxMessage)
	ended := make(chan error, 1)
	go s.read(ctx, box, ended)

	s.log.V(1).Info("Stream opened")
	defer func() {
		s.closeWarming()
		s.log.V(1).Info("Stream closed", "node", s.status.Node)
	}()
	if err := s.turn(nil, box); err != nil {
		return err
	}
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		over, due := s.over(time.Now())
		if over {
			s.who.Connection.Retire()
			s.log.V(1).Info("The connection is at its end: Envoy comes back")
			return nil
		}
		alarm.Stop()
		if due = earlier(due, s.due); !due.IsZero() {
			alarm.Reset(time.Until(due))
		}
		var req *discoveryv3.DeltaDiscoveryRequest
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-stop:
			return status.Error(codes.Unavailable, "the control plane stops")
		case err := <-ended:
			return err
		case <-s.wake:
		case <-alarm.C:
		case req = <-box.requests:
		}
		if err := s.turn(req, box); err != nil {
			return err
		}
	}
}

// earlier returns the earlier of two times; a zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// awake makes the stream take a turn.
func (s *stream) awake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// check ends the stream when its certificate leads to none of the authorities.
func (s *stream) check(roots *x509.CertPool) {
	if err := s.who.Connection.Trusted(roots); err != nil {
		s.server.opts.Log.Info("Ending a stream: its authority is trusted no more",
			"fleet", s.who.Fleet, "peer", s.who.Address, "reason", err.Error())
		s.distrusted.Store(true)
		s.awake()
		s.who.Connection.Retire() // it may be stuck
	}
}

// over says whether the connection is at its end, and when to ask again.
func (s *stream) over(now time.Time) (bool, time.Time) {
	c, ended := s.who.Connection, &s.server.counters.ended
	switch {
	case s.distrusted.Load():
		ended.distrusted.Add(1)
		return true, now
	case c == nil: // no connection has no end
		return false, time.Time{}
	case now.Before(c.Soft):
		return false, c.Soft
	case now.Before(c.Hard) && s.owesAnswer():
		return false, c.Hard
	case c.ByAge:
		ended.age.Add(1)
	default:
		ended.expiry.Add(1)
	}
	return true, now
}

// read hands requests over until the stream ends.
func (s *stream) read(ctx context.Context, to *inbox, ended chan<- error) {
	for {
		req, err := s.conn.Recv()
		if err != nil {
			// With another code Envoy or its connection has gone.
			if code := status.Code(err); code == codes.ResourceExhausted || code == codes.Internal {
				s.server.counters.ended.request.Add(1)
				s.server.opts.Log.Info("Ended a stream over a request that cannot be read",
					"fleet", s.who.Fleet, "peer", s.who.Address, "reason", printable(err.Error(), maxMessage))
			}
			ended <- err
			return
		}
		if !to.put(ctx, req) {
			return
		}
	}
}

// turn takes what has come, sends what is due, and says what has changed. There
// is no box where the test hands the requests over.
func (s *stream) turn(req *discoveryv3.DeltaDiscoveryRequest, box *inbox) error {
	for n := 0; req != nil; n++ {
		if err := s.handle(req); err != nil {
			return err
		}
		if box == nil {
			break
		}
		box.done(req)
		req = nil
		if n < requestBuffer {
			select {
			case req = <-box.requests:
			default:
			}
		}
	}
	if err := s.advance(); err != nil {
		return err
	}
	s.settle()
	s.due = s.warm(time.Now())
	if !s.status.Held { // else nothing is sent before Envoy answers
		s.due = earlier(s.due, earlier(s.coldDue(), s.leavers.due(s.server.opts.Linger)))
	}
	s.show()
	s.tell()
	return nil
}

// tell passes what has happened on to the observer.
func (s *stream) tell() {
	if o := s.server.opts.Observer; o != nil {
		for _, event := range s.events {
			event(o)
		}
	}
	s.events = s.events[:0]
}

// handle takes one request: an answer to a response, a subscription, or both.
func (s *stream) handle(req *discoveryv3.DeltaDiscoveryRequest) error {
	if id := req.GetNode().GetId(); id != "" && s.status.Node == "" {
		s.status.Node = printable(id, 256)
		s.log = s.log.WithValues("node", s.status.Node)
	}
	k, ok := kindOf(envoy.Type(req.GetTypeUrl()))
	if !ok {
		s.ignore(&s.server.counters.ignored.unknownType, "unknown type")
		return nil
	}
	if req.GetResponseNonce() != "" || req.GetErrorDetail() != nil {
		if err := s.answered(k, req); err != nil {
			return err
		}
	}
	return s.subscribe(k, req)
}

// ignore counts a request, or a part of one, that has no effect.
func (s *stream) ignore(counter *atomic.Uint64, why string) {
	counter.Add(1)
	s.status.Ignored++
	s.log.V(1).Info("Ignored a part of a request", "reason", why)
}

// send writes one response and takes it into account. It blocks while Envoy
// does not read.
func (s *stream) send(k kind, rows []*row, removed []string) error {
	if s.outstanding >= 2*s.server.opts.MaxUnacknowledged+s.names+requestBuffer {
		s.log.Info("Ending a stream that asks and does not answer", "unacknowledged", s.outstanding)
		return s.endUnacknowledged("%d responses are not acknowledged", s.outstanding)
	}
	s.nonce++
	r := &response{kind: k, nonce: s.nonce, revision: cmp.Or(s.since, s.cursor.revision), rows: rows, removed: removed}
	s.subs[k].expect(r, cmp.Or(s.since, s.from, r.revision), s.serving, s.since != 0)
	s.outstanding++

	buffers := r.marshal()
	size := uint64(buffers.Len()) //nolint:gosec // a length
	s.status.Sent, s.status.Unacknowledged = s.cursor.revision, s.outstanding
	s.status.Responses++
	s.status.Bytes += size
	s.server.counters.byType[k].responses.Add(1)
	s.server.counters.byType[k].bytes.Add(size)
	s.log.V(1).Info("Sending", "type", k, "nonce", r.nonce, "revision", r.revision,
		"resources", len(rows), "removed", len(removed), "bytes", size)

	s.blocked.Store(time.Now().UnixNano())
	err := s.conn.SendMsg(buffers)
	s.blocked.Store(0)
	return err
}

// endUnacknowledged is how a stream ends whose client does not acknowledge.
func (s *stream) endUnacknowledged(format string, n int) error {
	s.server.counters.ended.unacknowledged.Add(1)
	return status.Errorf(codes.ResourceExhausted, format, n)
}

// sendEach sends rows, each secret in a response of its own: Envoy does not say
// which of several it refused, and takes the same bad bytes when they come
// again, so they could not be told apart later.
func (s *stream) sendEach(k kind, rows []*row, removed []string) error {
	if k != secrets {
		if len(rows)+len(removed) == 0 {
			return nil
		}
		return s.send(k, rows, removed)
	}
	for i := range rows {
		if err := s.send(k, rows[i:i+1:i+1], nil); err != nil {
			return err
		}
	}
	if len(removed) == 0 {
		return nil
	}
	return s.send(k, nil, removed)
}

// printable bounds text that comes from the far end.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' || r == 0x7f {
			return -1
		}
		return r
	}, text[:min(len(text), limit)])
	return strings.TrimSpace(text)
}

func byName(a, b *row) int { return cmp.Compare(a.Name, b.Name) }
