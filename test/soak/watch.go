package soak

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/soak/model"
)

// idHeader joins a request with what a backend saw of it.
const idHeader = "X-Soak-Id"

// watch is what goes on beside the operations: traffic, samples of the control
// plane, and the clients that ask for what is not theirs.
type watch struct {
	s      *soak
	cancel context.CancelFunc
	loads  []*load.Load
	group  sync.WaitGroup
	once   sync.Once
	errors atomic.Int64
	ids    atomic.Int64
	done   atomic.Int64
	now    atomic.Pointer[string]

	mu      sync.Mutex
	up      bool
	start   int
	samples []memory
	nacks   map[string]uint64 // by stream
	spied   int
	refused int
}

// memory is one look at the control plane.
type memory struct {
	At         time.Time
	Start      int // counts its starts
	Heap       uint64
	Goroutines int
}

func newWatch(s *soak) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{s: s, cancel: cancel, up: true, start: 1, nacks: map[string]uint64{}}
	w.doing("")
	for i, f := range s.fleets {
		w.loads = append(w.loads, w.load(f, uint64(i)))
	}
	for _, f := range s.fleets {
		for _, other := range s.fleets {
			if other != f {
				w.group.Go(func() { w.spy(ctx, f, other) })
			}
		}
	}
	w.group.Go(func() { w.sample(ctx) })
	return w
}

func (w *watch) stop() {
	w.once.Do(func() {
		for _, l := range w.loads {
			l.Stop()
		}
		w.cancel()
		w.group.Wait()
	})
}

// doing tells that another operation begins.
func (w *watch) doing(what string) {
	w.now.Store(&what)
	w.done.Add(1)
}

func (w *watch) controlPlane(up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up = up; up {
		w.start++
	}
}

// load asks for all hosts of a fleet, and for some that no one has.
func (w *watch) load(f *fleet, n uint64) *load.Load {
	chance := rand.New(rand.NewPCG(w.s.cfg.Seed, n+1))
	slots := f.slots // what is fixed of them is read
	return load.Start(load.Config{
		Rate: w.s.cfg.Rate,
		HTTP: fmt.Sprint("127.0.0.1:", f.http), HTTPS: fmt.Sprint("127.0.0.1:", f.https),
		Roots: w.s.estate.hosts.Pool(), Timeout: 20 * time.Second,
		Next: func(int) load.Request {
			i := chance.IntN(hosts)
			h := &slots[i]
			r := load.Request{Host: h.host(f.name, i), Path: []string{"/", "/in/x"}[chance.IntN(2)], Fresh: chance.IntN(3) == 0}
			if h.tls {
				r.TLS = chance.IntN(2) == 0
				r.Fresh = r.TLS || r.Fresh
			}
			if chance.IntN(20) == 0 {
				r.Host = "nobody." + f.name + ".test"
			}
			id := fmt.Sprintf("%s-%d", f.name, w.ids.Add(1))
			r.Header = http.Header{idHeader: {id}}
			r.Expect = func(o *load.Outcome) error {
				w.answered(f.name, id, r.TLS, o)
				return nil
			}
			return r
		},
	})
}

func (w *watch) answered(fleet, id string, https bool, o *load.Outcome) {
	if o.Sent.IsZero() {
		return // it was not sent
	}
	a := model.Answer{
		ID: id, Fleet: fleet, Host: o.Host, Path: o.Path, HTTPS: https, Sent: o.Sent, Done: o.Done, Code: o.Code,
		Backend: o.Header.Get("X-Backend"),
	}
	if o.Err != nil {
		a.Error = o.Err.Error()
		a.Handshake = https && handshake(o.Err)
	}
	if o.Code != http.StatusOK {
		w.errors.Add(1)
		if o.Err == nil {
			a.Error = string(o.Body[:min(len(o.Body), 200)])
		}
	}
	if o.TLS != nil && !o.Reused {
		a.Certificate = model.Fingerprint(o.TLS.PeerCertificates[0].Raw)
	}
	w.s.history.Add(a)
}

// handshake tells whether an error is one of a TLS handshake.
func handshake(err error) bool {
	var (
		alert       tls.AlertError
		record      tls.RecordHeaderError
		certificate *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
	)
	return errors.As(err, &alert) || errors.As(err, &record) || errors.As(err, &certificate) || errors.As(err, &unknown) ||
		isReset(err)
}

// sample watches the control plane's memory and tells how the run stands.
func (w *watch) sample(ctx context.Context) {
	ticker := time.NewTicker(3 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.mu.Lock()
		up, start := w.up, w.start
		w.mu.Unlock()
		if up {
			if got, err := w.s.process.Ask(ctx, true); err == nil {
				m := memory{time.Now(), start, got.HeapBytes, got.Goroutines}
				w.mu.Lock()
				for i := range got.XDS.Fleets {
					for _, st := range got.XDS.Fleets[i].Streams {
						w.nacks[fmt.Sprint(start, st.Node, st.Since)] = st.Nacks
					}
				}
				if w.up && w.start == start {
					w.samples = append(w.samples, m)
				}
				w.mu.Unlock()
				w.s.history.Add(model.Note{At: m.At, What: "sample", Value: got})
			}
		}
		if w.s.cfg.Progress != nil {
			w.s.cfg.Progress(Progress{
				Elapsed: time.Since(w.s.began), Operations: int(w.done.Load()), Requests: w.s.history.Count(),
				Errors: int(w.errors.Load()), Restarts: start - 1, Doing: *w.now.Load(),
			})
		}
	}
}
