package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/controlplane"
	"github.com/signetproxy/signet/test/freeport"
	"github.com/signetproxy/signet/test/soak/model"
	"github.com/signetproxy/signet/translator/ir"
)

// The size of a run.
const (
	hosts     = 12
	services  = 9
	maxEnvoys = 3
)

var fleets = []string{"a", "b"}

// Config says how to run.
type Config struct {
	Seed uint64
	// Duration is how long operations go on; Operations ends them sooner, 0 does
	// not.
	Duration   time.Duration
	Operations int
	// Rate is of requests per second and fleet.
	Rate float64
	// Calm ends the kills of the control plane after two thirds of the time, so
	// that its memory can be watched.
	Calm bool
	// NoRefusals keeps Envoys from refusing anything: the hosts that they would
	// refuse are then good. The sequence of operations stays.
	NoRefusals bool
	// Dir is an empty folder of mode 0700 with a short path.
	Dir string
	// Record takes the history, one JSON document a line; nil keeps it in memory
	// alone.
	Record io.Writer
	// Progress is told every few seconds how it stands; it may be nil.
	Progress func(Progress)
	// Log takes what Envoys and their supervisors say; Output the control plane's.
	Log    logr.Logger
	Output io.Writer
	// Tamper, when set, may change what is written behind the model's back: to
	// see that it is found out. It is given the ports of the backends.
	Tamper func(file, content string, ports map[string]int) string
}

// Progress is how a run stands.
type Progress struct {
	Elapsed              time.Duration
	Operations, Requests int
	Errors               int
	Restarts             int
	Doing                string
}

// fleet is one set of Envoys and its part of the manifests.
type fleet struct {
	name        string
	id          ir.Name
	http, https int
	slots       [hosts]slot
	endpoints   [services][]string
	annotation  [services]string
	missing     [services]bool
	// poor says that some of the endpoints cannot be reached, or none is left.
	poor      [services]bool
	withdrawn bool
	envoys    []*controlplane.Envoy
	started   int
	// unready says that an Envoy was started or killed since all were awaited.
	unready bool
}

// soak is one run. One goroutine does the operations.
type soak struct {
	cfg        Config
	chance     *rand.Rand
	estate     *estate
	history    *model.History
	identities *controlplane.Identities
	process    *controlplane.Process
	xds        string
	fleets     []*fleet
	watch      *watch
	began      time.Time

	first       []int
	written     map[string]bool
	files       []string
	doing       string
	phase       int
	oldest      int
	undelegated bool
	// down is how many operations the control plane stays down yet, and since
	// when it is.
	down      int
	downSince time.Time
	summary   Summary
}

const patience = time.Minute

// longestPause is the longest time without an operation: traffic must meet what
// the one before has made.
const longestPause = 300 * time.Millisecond

// grace is how much later than Envoy's acknowledgement its workers are taken to
// have taken a change up, on a machine that is busy.
const grace = 500 * time.Millisecond

// Run runs a soak and judges it. An error says that the run itself could not go
// on; what it found is in the Summary.
func Run(ctx context.Context, cfg Config) (*Summary, error) {
	s := &soak{
		cfg: cfg, written: map[string]bool{}, began: time.Now(),
		chance:  rand.New(rand.NewPCG(cfg.Seed, 0)),
		summary: Summary{Seed: cfg.Seed, Operations: map[string]int{}},
	}
	s.first = s.chance.Perm(len(operations))
	defer s.close()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	err := s.operate(ctx)
	s.watch.stop()
	s.summary.finish(s.history, s.watch)
	s.summary.Seconds = time.Since(s.began).Seconds()
	if e := s.history.Err(); err == nil && e != nil {
		err = fmt.Errorf("writing the history: %w", e)
	}
	return &s.summary, err
}

// prepare makes all that runs no process.
func (s *soak) prepare() error {
	dirs := map[string]string{}
	for _, name := range []string{"m", "i", "e"} {
		dirs[name] = filepath.Join(s.cfg.Dir, name)
		if err := os.Mkdir(dirs[name], 0o700); err != nil {
			return fmt.Errorf("folder: %w", err)
		}
	}
	var err error
	if s.estate, err = newEstate(dirs["m"]); err != nil {
		return err
	}
	s.estate.tamper = s.cfg.Tamper
	if s.identities, err = controlplane.NewIdentities(dirs["i"]); err != nil {
		return err
	}
	header := model.Header{Seed: s.cfg.Seed, Fleets: map[string]model.Fleet{}}
	if header.Backends, err = s.estate.startBackends(func(r *backend.Request) { s.saw(r) }); err != nil {
		return err
	}
	if s.xds, err = freeport.Address(); err != nil {
		return err
	}
	cfg := controlplane.Config{
		Manifests: dirs["m"], Identities: dirs["i"], XDSAddress: s.xds, Socket: filepath.Join(s.cfg.Dir, "s"),
		Marker: ir.Name{Namespace: "soak", Name: "marker"},
	}
	if !s.cfg.NoRefusals {
		cfg.Refused = refusedText
	}
	for _, name := range fleets {
		f := &fleet{name: name, id: ir.Name{Namespace: name, Name: "fleet"}}
		if f.http, err = freeport.Free(); err != nil {
			return err
		}
		if f.https, err = freeport.Free(); err != nil {
			return err
		}
		s.fleets = append(s.fleets, f)
		header.Fleets[name] = model.Fleet{Namespace: name, ClientCertificate: name + "/client"}
		cfg.Fleets = append(cfg.Fleets, controlplane.Fleet{
			Name: f.id, HTTPPort: f.http, HTTPSPort: f.https, RootNamespaces: []string{name},
			ClientCertificate: ir.Name{Namespace: name, Name: "client"},
		})
	}
	s.history = model.NewHistory(header, s.cfg.Record)
	s.estate.history = s.history
	s.process, err = controlplane.New(&cfg, s.cfg.Dir, s.cfg.Output)
	return err
}

// start writes the first manifests, starts everything and waits until it serves.
func (s *soak) start(ctx context.Context) error {
	s.doing = "start"
	if err := errors.Join(s.estate.present(), s.writeTrust(), s.writeDelegation(), s.writeFixed()); err != nil {
		return err
	}
	for _, f := range s.fleets {
		if err := s.populate(ctx, f); err != nil {
			return err
		}
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	for _, f := range s.fleets {
		s.addEnvoy(f)
		s.addEnvoy(f)
	}
	if err := s.mustSettle(ctx); err != nil {
		return err
	}
	s.watch = newWatch(s)
	return nil
}

func (s *soak) populate(ctx context.Context, f *fleet) error {
	for j := range services {
		f.endpoints[j] = good(j)
		if err := errors.Join(s.writeService(f, j), s.writeEndpoints(f, j)); err != nil {
			return err
		}
	}
	for i := range f.slots {
		h := &f.slots[i]
		h.present, h.tls, h.wildcard = true, i%3 == 2, i%6 == 5 || i%6 == 0
		h.https, h.insecure = h.tls, s.chance.IntN(2) == 0
		s.aim(h)
		if h.tls {
			if err := s.writeCertificate(f, i); err != nil {
				return err
			}
		}
		if err := s.writeHost(f, i); err != nil {
			return err
		}
	}
	return s.rotateClient(ctx, f)
}

// operate does operations until the time is over, and then waits until all is
// in force.
func (s *soak) operate(ctx context.Context) error {
	for n := 0; ctx.Err() == nil && time.Since(s.began) < s.cfg.Duration && (s.cfg.Operations == 0 || n < s.cfg.Operations); n++ {
		if err := s.step(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.doing, err)
		}
	}
	s.doing = "end"
	if err := s.mustSettle(ctx); err != nil {
		return err
	}
	return s.inspect(ctx)
}

// step does one operation.
func (s *soak) step(ctx context.Context) error {
	op := s.pick()
	f := s.fleets[s.chance.IntN(len(s.fleets))]
	s.files = nil
	defer func() {
		// Everything that chance has a say in.
		s.summary.Sequence = append(s.summary.Sequence, fmt.Sprintf("%s, fleet %s: %v %v", op.name, f.name, s.files, f.slots))
	}()
	wait, look := s.chance.IntN(10) < 7, s.chance.IntN(8) == 0
	pause := time.Duration(s.chance.IntN(int(longestPause)))
	s.doing = op.name
	s.history.Add(model.Note{At: time.Now(), What: op.name, Value: f.name})
	s.watch.doing(op.name)
	s.summary.Operations[op.name]++
	if err := op.do(s, ctx, f); err != nil {
		return err
	}
	if s.down > 0 {
		s.down--
		if s.down > 0 {
			return nil
		}
		return s.revive(ctx)
	}
	if wait {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	if look {
		if err := s.inspect(ctx); err != nil {
			return err
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return nil
}

// settle waits until every Envoy that is to be ready has acknowledged all that
// was written, and records it.
func (s *soak) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n := s.estate.change
	marker := fmt.Sprint(n)
	if err := s.estate.put("marker.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: marker, namespace: soak}\ndata: {at: \""+marker+"\"}\n"); err != nil {
		return err
	}
	_, err := s.process.Await(ctx, func(sample *controlplane.Sample) bool {
		if sample.Marker != marker {
			return false
		}
		for _, f := range s.fleets {
			for _, e := range f.envoys {
				if (e.Ready() || !f.unready) && !sample.Acknowledged(e.Node) {
					return false
				}
			}
		}
		return true
	})
	if err != nil {
		s.history.Add(model.Finding{At: time.Now(), Kind: model.Unsettled, Text: fmt.Sprintf("after %q: %v", s.doing, err)})
		return fmt.Errorf("change %d: %w", n, err)
	}
	s.history.Add(model.Settled{N: n, At: time.Now().Add(grace)})
	s.summary.Settled++
	return nil
}

// mustSettle has the control plane run, every Envoy ready, and all in force.
func (s *soak) mustSettle(ctx context.Context) error {
	if s.down > 0 {
		s.down = 0
		if err := s.revive(ctx); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, f := range s.fleets {
		for _, e := range f.envoys {
			if err := e.Await(waiting, true); err != nil {
				return err
			}
		}
		f.unready = false
	}
	return s.settle(ctx)
}

func (s *soak) close() {
	if s.watch != nil {
		s.watch.stop()
	}
	for _, f := range s.fleets {
		for _, e := range f.envoys {
			_ = e.Stop() // it was judged by its answers
		}
	}
	if s.process != nil {
		_ = s.process.Stop()
	}
	if s.estate != nil {
		s.estate.close()
	}
}

// saw records what a backend saw.
func (s *soak) saw(r *backend.Request) {
	if s.history == nil {
		return
	}
	seen := model.Seen{
		ID: r.Header.Get(idHeader), Backend: r.Backend, At: time.Now(), Connected: r.Connected,
		Host: r.Host, Path: r.Path, HTTP2: r.Proto == "HTTP/2.0", TLS: r.TLS, SNI: r.SNI,
	}
	if r.ClientCertificate != nil {
		seen.Client = model.Fingerprint(r.ClientCertificate)
	}
	s.history.Add(seen)
}
