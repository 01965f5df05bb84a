package xds

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/signetproxy/signet/operator/xds/peer"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// Options make a Server. Identity is required; a limit of 0 is its default.
type Options struct {
	// Log is told of refused streams and of rejections, and at V(1) of all else.
	Log logr.Logger
	// Identity tells which fleet a URI name of a certificate stands for.
	Identity func(*url.URL) (ir.Name, error)
	// Observer may be nil.
	Observer Observer
	// FirstListener, if not nil, may return other bytes for a listener that a
	// stream's Envoy does not have yet, such as one that names the certificates
	// to fetch beforehand. The listener keeps its name and its Version, so that
	// a reconnecting Envoy is not sent it again. It is called by many
	// goroutines; nil means the listener as it is.
	FirstListener func(fleet ir.Name, listener *envoy.Resource) *envoy.Resource

	// Trust returns the authorities whose certificates are accepted now, and a
	// channel that is closed when there may be others. A stream whose
	// certificate leads to none of them is ended. With nil a stream lives on as
	// long as its certificate, whatever becomes of its authority.
	Trust func() (*x509.CertPool, <-chan struct{})

	// MaxAge is the longest life of a connection (12 h). It ends up to a fifth
	// earlier, by chance, and always before its certificate expires: Envoy comes
	// back with the newest, and is sent nothing that it has.
	MaxAge time.Duration
	// MaxStreams bounds all streams together (1,000), MaxFleetStreams those of
	// one fleet (500), so that it does not shut the others out.
	MaxStreams, MaxFleetStreams int
	// MaxMessage bounds one request, in bytes (32 MiB: a reconnecting Envoy
	// lists all that it has), and so the requests that a stream reads ahead, and
	// the names that it subscribes to.
	MaxMessage int
	// MaxNames bounds the names that one stream subscribes to (200,000). A name
	// beyond it is answered, and not kept up to date.
	MaxNames int
	// MaxUnacknowledged bounds the responses that a stream has not answered
	// (4,096). No new revision is sent beyond it until Envoy answers.
	MaxUnacknowledged int

	// A peer that is silent for KeepaliveTime (30 s) is asked, and is cut off when
	// it has not answered after KeepaliveTimeout (10 s). Below 1 s the first is 1 s.
	KeepaliveTime, KeepaliveTimeout time.Duration
	// WarmingTimeout is how long clusters may be without acknowledgement, while
	// Envoy answers otherwise, before they are named as not getting warm (5 s).
	WarmingTimeout time.Duration
	// Linger is how long a cluster is left to an Envoy that has taken what does not
	// use it any more: requests that came before may look for it still. 0 means
	// that it goes at once.
	Linger time.Duration
}

// Observer is told what Envoys say. Each method is called by the goroutine of
// the stream, without locks held and in the stream's order: it delays that
// stream alone, and must not wait for it.
type Observer interface {
	// OnAck says that a stream has acknowledged all that a revision, and those
	// before it, changed.
	OnAck(Ack)
	// OnNack says that Envoy refused a response.
	OnNack(Nack)
}

// Observers tell each of several in turn.
type Observers []Observer

// OnAck implements Observer.
func (all Observers) OnAck(a Ack) {
	for _, o := range all {
		o.OnAck(a)
	}
}

// OnNack implements Observer.
func (all Observers) OnNack(n Nack) {
	for _, o := range all {
		o.OnNack(n)
	}
}

// Ack is a stream's progress. There is one for each revision that changed the
// fleet, or for the last of several; a FleetUpdate without a change counts, a
// revision that does not name the fleet causes none (State counts it in).
type Ack struct {
	Fleet ir.Name
	Node  string
	// Stream is the ID of the stream, see [Stream].
	Stream   uint64
	Revision uint64
	// First is set on the first complete revision of the stream: its Envoy is
	// ready.
	First bool
}

// Nack is a response that Envoy refused.
type Nack struct {
	Fleet    ir.Name
	Node     string
	Type     envoy.Type
	Revision uint64
	// Resources and Removed are what the response held. With more than one
	// Envoy may have taken some of them and refused good ones: the server then
	// sends them again by halves, and a Nack of one follows for each that is
	// bad. A resource is the one that was published, also where a wildcard's
	// secret was sent under the name of a host.
	Resources []*envoy.Resource
	// LastGood is parallel to Resources: of each the bytes that some Envoy of
	// the fleet acknowledged last, or nil where there are none. One that equals
	// the refused resource says that another Envoy has taken that.
	LastGood []*envoy.Resource
	Removed  []string
	// Message is Envoy's, cut to a bound and without key material.
	Message string
}

// Server serves delta ADS. All methods may be called at any time by any
// goroutine, but for Publish, which one goroutine calls in order.
type Server struct {
	opts     Options
	revision atomic.Uint64
	counters counters

	mu      sync.Mutex
	fleets  map[ir.Name]*fleet
	streams int
	lastID  uint64
}

var errNoIdentity = errors.New("the server was made without Options.Identity: it knows no fleet's name")

// DefaultLinger outlasts what requests wait for: the answer of an authorization
// server, a time-out of 15 s and the pause before another try.
const DefaultLinger = 20 * time.Second

const (
	// stopGrace is how long Serve waits for streams that do not read to end.
	stopGrace = 2 * time.Second
	// maxIdle is how long a connection may be without a stream.
	maxIdle = time.Minute
)

// New makes a server that knows no fleet yet.
func New(o Options) *Server {
	o.MaxAge = orDefault(o.MaxAge, 12*time.Hour)
	o.MaxStreams = orDefault(o.MaxStreams, 1000)
	o.MaxFleetStreams = orDefault(o.MaxFleetStreams, 500)
	o.MaxMessage = orDefault(o.MaxMessage, 32<<20)
	o.MaxNames = orDefault(o.MaxNames, 200_000)
	o.MaxUnacknowledged = orDefault(o.MaxUnacknowledged, 4096)
	o.KeepaliveTime = orDefault(o.KeepaliveTime, 30*time.Second)
	o.KeepaliveTimeout = orDefault(o.KeepaliveTimeout, 10*time.Second)
	o.WarmingTimeout = orDefault(o.WarmingTimeout, 5*time.Second)
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	if o.Identity == nil {
		o.Identity = func(*url.URL) (ir.Name, error) { return ir.Name{}, errNoIdentity }
	}
	return &Server{opts: o, fleets: map[ir.Name]*fleet{}}
}

func orDefault[T int | time.Duration](n, otherwise T) T {
	if n <= 0 {
		return otherwise
	}
	return n
}

// Publish makes a revision the newest one and wakes the streams of the fleets
// that it changed. It never waits for a stream.
func (s *Server) Publish(u Update) {
	for i := range u.Fleets {
		f := s.begin(u.Fleets[i].Fleet)
		for _, key := range f.commit(u.Revision, &u.Fleets[i]) {
			s.opts.Log.Error(errors.New("type of resource is not served"), "Resource left out of a revision",
				"fleet", f.name, "type", key.Type, "name", key.Name, "revision", u.Revision)
		}
	}
	// Stored after the snapshots: who reads it sees at least those.
	s.revision.Store(u.Revision)
	for i := range u.Fleets {
		s.finish(u.Fleets[i].Fleet)
	}
}

// begin returns the fleet, made if need be, and keeps it until finish.
func (s *Server) begin(name ir.Name) *fleet {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fleetLocked(name)
	f.busy = true
	return f
}

func (s *Server) fleetLocked(name ir.Name) *fleet {
	f := s.fleets[name]
	if f == nil {
		f = &fleet{name: name, streams: map[*stream]struct{}{}}
		s.fleets[name] = f
	}
	return f
}

// finish wakes the streams of the fleet.
func (s *Server) finish(name ir.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fleets[name]
	if f == nil { // it was named twice, and is gone
		return
	}
	f.busy = false
	for st := range f.streams {
		st.awake()
	}
	s.forgetLocked(f)
}

// forgetLocked drops a fleet that has neither resources nor streams.
func (s *Server) forgetLocked(f *fleet) {
	if f.head.Load() == nil && len(f.streams) == 0 && !f.busy {
		delete(s.fleets, f.name)
	}
}

// join counts a stream in; it fails when there are too many.
func (s *Server) join(st *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fleetLocked(st.who.Fleet)
	var err error
	switch {
	case s.streams >= s.opts.MaxStreams:
		s.counters.refused.limit.Add(1)
		err = fmt.Errorf("there are %d streams already, which is the limit", s.streams)
	case len(f.streams) >= s.opts.MaxFleetStreams:
		s.counters.refused.fleetLimit.Add(1)
		err = fmt.Errorf("fleet %s has %d streams already, which is the limit", f.name, len(f.streams))
	}
	if err != nil {
		s.forgetLocked(f)
		return err
	}
	s.streams++
	s.lastID++
	st.id = s.lastID
	st.fleet = f
	f.streams[st] = struct{}{}
	return nil
}

func (s *Server) leave(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
	delete(st.fleet.streams, st)
	s.forgetLocked(st.fleet)
}

// Serve accepts connections until ctx ends, then ends all streams and returns
// nil. It closes the listener. TLS 1.3 and a verified client certificate are
// required, whatever the configuration says; it may choose certificates and
// authorities anew for each handshake (tls.Config.GetConfigForClient).
func (s *Server) Serve(ctx context.Context, l net.Listener, conf *tls.Config) error {
	g := grpc.NewServer(
		grpc.Creds(peer.Credentials(conf, s.opts.MaxAge)),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(s.opts.MaxMessage),
		grpc.MaxConcurrentStreams(8),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: s.opts.KeepaliveTime, Timeout: s.opts.KeepaliveTimeout, MaxConnectionIdle: maxIdle,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, &service{server: s, stop: ctx.Done()})

	watching, stopWatching := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() { s.watchTrust(watching) })
	defer watched.Wait()
	defer stopWatching()

	failed := make(chan error, 1)
	go func() { failed <- g.Serve(l) }()
	select {
	case err := <-failed:
		g.Stop()
		if err != nil {
			return fmt.Errorf("serve xDS on %s: %w", l.Addr(), err)
		}
		return nil
	case <-ctx.Done():
	}
	// A stream whose Envoy does not read cannot end by itself.
	force := time.AfterFunc(stopGrace, g.Stop)
	defer force.Stop()
	g.GracefulStop()
	// It says that it is stopped when that happens before it has begun.
	if err := <-failed; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve xDS on %s: %w", l.Addr(), err)
	}
	return nil
}

// watchTrust ends the streams of authorities that are trusted no more.
func (s *Server) watchTrust(ctx context.Context) {
	if s.opts.Trust == nil {
		return
	}
	for {
		roots, changed := s.opts.Trust()
		for _, st := range s.all() {
			st.check(roots)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (s *Server) all() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*stream, 0, s.streams)
	for _, f := range s.fleets {
		out = slices.AppendSeq(out, maps.Keys(f.streams))
	}
	return out
}

// service is the server behind one listener.
type service struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server *Server
	stop   <-chan struct{}
}

// DeltaAggregatedResources implements the one method that is served.
func (s *service) DeltaAggregatedResources(conn discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	who, err := peer.Identify(conn.Context(), s.server.opts.Identity)
	if err != nil {
		s.server.counters.refused.identity.Add(1)
		s.server.opts.Log.Info("Refused a stream without a valid identity", "reason", err.Error())
		return status.Error(codes.PermissionDenied, err.Error())
	}
	if who.Connection.Retired() {
		return status.Error(codes.Unavailable, "the connection is at its end")
	}
	st := newStream(s.server, who, conn)
	if err := s.server.join(st); err != nil {
		s.server.opts.Log.Info("Refused a stream: there are too many", "fleet", who.Fleet, "reason", err.Error())
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	defer s.server.leave(st)
	gone := st.present()
	defer gone()
	defer who.Connection.Limit().Stop()
	if trust := s.server.opts.Trust; trust != nil { // it may have changed since the handshake
		roots, _ := trust()
		st.check(roots)
	}
	return st.run(s.stop)
}
