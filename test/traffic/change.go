package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/traffic/gateways"
	"github.com/signetproxy/signet/test/world"
)

// step is one change that is ready to be made: apply makes it and returns when
// it began, fresh asks once and tells whether the answer shows it.
type step struct {
	apply func() (time.Time, error)
	fresh func() (bool, error)
}

// change is one kind of change; next makes the i-th one ready.
type change struct {
	name string
	next func(b *bench, i int) (step, error)
	bars []figures.Bar
}

const edits = "header edited"

func changes() []change {
	usual := []figures.Bar{figures.P50(3), figures.P99(10)}
	return []change{
		{edits, headerEdited, usual},
		{"endpoints changed", endpointsChanged, usual},
		{"host added, with a new cluster", hostAdded, []figures.Bar{figures.P50(5), figures.P99(10)}},
		{"host removed", hostRemoved, usual},
		{"serving certificate changed, to a handshake", certificateChanged, usual},
		{"trust bundle changed, to a request", trustChanged, usual},
	}
}

// pause is between two changes: each is measured alone.
const pause = 20 * time.Millisecond

// measure makes n changes of a kind, one after the other.
func (b *bench) measure(c *change, n int) ([]time.Duration, error) {
	took := make([]time.Duration, 0, n)
	for i := range n {
		if err := b.ctx.Err(); err != nil {
			return nil, err
		}
		s, err := c.next(b, i)
		if err != nil {
			return took, fmt.Errorf("%s, before change %d: %w", c.name, i, err)
		}
		<-time.After(pause)
		began, err := s.apply()
		if err != nil {
			return took, err
		}
		seen, err := estate.Until(s.fresh)
		if err != nil {
			return took, fmt.Errorf("%s, change %d: %w", c.name, i, err)
		}
		took = append(took, seen.Sub(began))
	}
	return took, nil
}

// prepareChanges adds hosts whose certificate or trust bundle is of their own
// and in a file of its own.
func prepareChanges(b *bench) error {
	other, err := pki.NewAuthority("other CA")
	if err != nil {
		return err
	}
	for i := range certificateHosts {
		doc, _, err := b.Certificate(fmt.Sprintf("c%d", i), certificateHost(i))
		if err != nil {
			return err
		}
		err = errors.Join(b.Put(fmt.Sprintf("certificate-c%d", i), doc),
			b.Put(fmt.Sprintf("c%d", i), b.extra(fmt.Sprintf("c%d", i), certificateHost(i), "ca", true)))
		if err != nil {
			return err
		}
	}
	for i := range b.changes {
		name := fmt.Sprintf("t%d", i)
		if err := errors.Join(b.Put("trust-"+name, world.CA("default", name, other.PEM())),
			b.Put(name, b.extra(name, trustHost(i), name, false))); err != nil {
			return err
		}
	}
	return nil
}

const certificateHosts = 20

func certificateHost(i int) string { return fmt.Sprintf("c%d.%s", i%certificateHosts, estate.Domain) }
func trustHost(i int) string       { return fmt.Sprintf("t%d.%s", i, estate.Domain) }

// extra is a host beside those of the estate.
func (b *bench) extra(name, host, ca string, tls bool) string {
	return world.All(world.Service("default", name, 443, nil, b.Backends[0]),
		estate.Proxy(name, host, name, tls, world.Route("/", world.Validated(name, 443, "tls", ca, estate.Subject))+estate.Version("v0")))
}

func runChanges(b *bench) error {
	l := b.lightLoad()
	for _, c := range changes() {
		took, err := b.measure(&c, b.changes)
		if err != nil {
			l.Stop()
			return err
		}
		b.Times(c.name, took, c.bars...)
	}
	return b.settle(l, "beside the changes")
}

// pick spreads changes over the first half of the hosts; other changes beside
// them have the second.
func (b *bench) pick(i int) int { return (i * 7919) % max(1, b.Hosts/2) }

func (b *bench) version() string {
	b.seq++
	return fmt.Sprintf("v%d", b.seq)
}

// served sends a first request, which opens the connections that later ones use.
func (b *bench) served(r load.Request) error {
	if o := b.Ask(r); o.Err != nil || o.Code != http.StatusOK {
		return fmt.Errorf("%s answers %d: %w", r.Host, o.Code, o.Err)
	}
	return nil
}

// asks returns a question for estate.Until: the new answer is a 200 that is
// fresh, and any other must have the stale code.
func (b *bench) asks(r load.Request, stale int, fresh func(*load.Outcome) bool) func() (bool, error) {
	return func() (bool, error) {
		o := b.Ask(r)
		switch {
		case o.Err != nil:
			return false, o.Err
		case o.Code == http.StatusOK && fresh(o):
			return true, nil
		case o.Code == stale:
			return false, nil
		}
		return false, fmt.Errorf("%s answered %d, %q: neither the old answer nor the new", r.Host, o.Code, o.Body)
	}
}

func headerEdited(b *bench, i int) (step, error) {
	k, v := b.pick(i), b.version()
	r := b.request(k)
	return step{
		apply: func() (time.Time, error) { return b.Write(estate.ProxyFile(k), b.Proxy(k, v)) },
		fresh: b.asks(r, http.StatusOK, func(o *load.Outcome) bool { return o.Header.Get("X-Version") == v }),
	}, b.served(r)
}

func endpointsChanged(b *bench, i int) (step, error) {
	k := b.pick(i)
	b.on[k] = 1 - b.on[k]
	to := b.Backends[b.on[k]]
	name := []string{"a", "b"}[b.on[k]]
	r := b.request(k)
	return step{
		apply: func() (time.Time, error) {
			return b.Write(estate.SliceFile(k), world.Endpoints("default", estate.ServiceName(k), to))
		},
		fresh: b.asks(r, http.StatusOK, func(o *load.Outcome) bool { return o.Header.Get("X-Backend") == name }),
	}, b.served(r)
}

func newHost(k int) string { return fmt.Sprintf("n%d.%s", k, estate.Domain) }

// hostAdded adds HTTP and HTTPS hosts in turn, the latter with a certificate of
// their own; that of a host that is not there yet fails in the handshake.
func hostAdded(b *bench, _ int) (step, error) {
	b.seq++
	k := b.seq
	name, tls := fmt.Sprintf("n%d", k), estate.IsTLS(k)
	doc := b.extra(name, newHost(k), "ca", tls)
	if tls {
		secret, _, err := b.Certificate(name, newHost(k))
		if err != nil {
			return step{}, err
		}
		doc = world.All(secret, doc)
	}
	b.added = append(b.added, k)
	r := load.Request{Host: newHost(k), TLS: tls, Fresh: tls}
	ask := b.asks(r, http.StatusNotFound, func(*load.Outcome) bool { return true })
	return step{
		apply: func() (time.Time, error) { return b.Write(name, doc) },
		fresh: func() (bool, error) {
			fresh, err := ask()
			if err != nil && isHandshake(err) {
				return false, nil
			}
			return fresh, err
		},
	}, nil
}

// isHandshake tells whether Envoy had no certificate to show: it ends the
// connection, with or without an alert.
func isHandshake(err error) bool {
	return strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "remote error: tls") ||
		strings.Contains(err.Error(), "connection reset by peer")
}

// hostRemoved removes what hostAdded has added; a kept connection of an HTTPS
// host gets 404 then.
func hostRemoved(b *bench, _ int) (step, error) {
	if len(b.added) == 0 {
		return step{}, errors.New("no host was added")
	}
	k := b.added[0]
	b.added = b.added[1:]
	r := load.Request{Host: newHost(k), TLS: estate.IsTLS(k)}
	return step{
		apply: func() (time.Time, error) { return b.Remove(fmt.Sprintf("n%d", k)) },
		fresh: func() (bool, error) {
			switch o := b.Ask(r); {
			case o.Err != nil:
				return false, o.Err
			case o.Code == http.StatusOK, o.Code == http.StatusNotFound:
				return o.Code == http.StatusNotFound, nil
			default:
				return false, fmt.Errorf("%s answered %d, %q", r.Host, o.Code, o.Body)
			}
		},
	}, b.served(r)
}

// certificateChanged is seen by a handshake.
func certificateChanged(b *bench, i int) (step, error) {
	host, secret := certificateHost(i), fmt.Sprintf("c%d", i%certificateHosts)
	doc, pair, err := b.Certificate(secret, host)
	if err != nil {
		return step{}, err
	}
	if _, err := b.Handshake(host); err != nil {
		return step{}, err
	}
	return step{
		apply: func() (time.Time, error) { return b.Write("certificate-"+secret, doc) },
		fresh: func() (bool, error) {
			leaf, err := b.Handshake(host)
			return err == nil && bytes.Equal(leaf.Raw, pair.Leaf().Raw), err
		},
	}, nil
}

// trustChanged makes the CA of a host's backend trusted: until then it is
// asked in vain.
func trustChanged(b *bench, i int) (step, error) {
	name := fmt.Sprintf("t%d", i)
	other, err := pki.NewAuthority("another CA")
	if err != nil {
		return step{}, err
	}
	r := load.Request{Host: trustHost(i)}
	if o := b.Ask(r); o.Code != http.StatusServiceUnavailable {
		return step{}, fmt.Errorf("%s, whose backend is not trusted, answers %d: %w", r.Host, o.Code, o.Err)
	}
	return step{
		apply: func() (time.Time, error) {
			return b.Write("trust-"+name, world.CA("default", name, other.PEM(), b.CA.PEM()))
		},
		fresh: b.asks(r, http.StatusServiceUnavailable, func(*load.Outcome) bool { return true }),
	}, nil
}

// prepareGateways puts a Gateway with all that its changes need into the folder.
func prepareGateways(b *bench) error {
	var err error
	if b.gateways, err = gateways.New(b.Folder); err != nil {
		return err
	}
	return b.putAll(b.gateways.Files())
}

func runGateways(b *bench) error { return b.gateways.Measure(b.ctx, b.Run, b.changes, b.rate) }
