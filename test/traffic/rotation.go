package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
	"github.com/signetproxy/signet/test/load"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/test/world"
)

// rotation is what rotates, with three backends that share it:
//
//   - kept speaks HTTP/2: Envoy has one connection to it, which must stay;
//   - each closes every connection, and has a certificate that both the old
//     and the new trust bundle verify: every request must succeed;
//   - first closes every connection too, and has the certificate that the new
//     bundle alone verifies: it tells when new connections use it.
type rotation struct {
	stage

	site              *estate.Site
	authorities       []*pki.Authority
	clients           *pki.Authority
	kept, each, first *backend.Backend
}

const (
	keptHost  = "kept." + estate.Domain
	eachHost  = "each." + estate.Domain
	firstHost = "first." + estate.Domain
)

// newRotation makes the backends and authorities for n rotations of trust. It
// must be closed even if there is an error.
func newRotation(site *estate.Site, n int) (*rotation, error) {
	r := &rotation{site: site}
	var err error
	for i := range n + 2 {
		ca, err := pki.NewAuthority(fmt.Sprintf("CA %d", i))
		if err != nil {
			return r, err
		}
		r.authorities = append(r.authorities, ca)
	}
	if r.clients, err = pki.NewAuthority("client CA"); err != nil {
		return r, err
	}
	start := func(name string, each bool, protocols ...string) (*backend.Backend, error) {
		pair, err := r.authorities[1].Issue(pki.Leaf{DNS: []string{estate.Subject}})
		if err != nil {
			return nil, err
		}
		return r.start(backend.Config{
			Name: name, Certificate: &pair.TLS, ClientCAs: r.clients.Pool(), CloseEach: each, Protocols: protocols,
		})
	}
	if r.kept, err = start("kept", false, "h2"); err != nil {
		return r, err
	}
	if r.each, err = start("each", true, "http/1.1"); err != nil {
		return r, err
	}
	r.first, err = start("first", true, "http/1.1")
	return r, err
}

// files are the manifests: bundle i holds the authorities i and i+1.
func (r *rotation) files() (map[string]string, error) {
	client, _, err := r.client()
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"rotation-ca": r.bundle(0), "rotation-client": client,
		"rotation-fleet": `apiVersion: operator.signetproxy.io/v1alpha1
kind: EnvoyFleet
metadata: {name: edge, namespace: default}
spec: {upstreamTLS: {clientCertificate: {secretRef: {name: client}}}}
`,
	}
	for host, b := range map[string]*backend.Backend{keptHost: r.kept, eachHost: r.each, firstHost: r.first} {
		name, protocol := "rotation-"+host[:4], "tls"
		if b == r.kept {
			protocol = "h2"
		}
		files[name] = world.All(world.Service("default", name, 443, nil, b), estate.Proxy(name, host, "", false,
			world.Route("/", world.Validated(name, 443, protocol, "rotation-ca", estate.Subject))))
	}
	return files, nil
}

func (r *rotation) bundle(i int) string {
	return world.CA("default", "rotation-ca", r.authorities[i].PEM(), r.authorities[i+1].PEM())
}

func (r *rotation) client() (string, *pki.Pair, error) {
	p, err := r.clients.Issue(pki.Leaf{CommonName: "fleet"})
	if err != nil {
		return "", nil, err
	}
	return estate.KeyPair("default", "client", p), p, nil
}

// serve gives a backend a certificate by an authority.
func (r *rotation) serve(b *backend.Backend, authority int) error {
	p, err := r.authorities[authority].Issue(pki.Leaf{DNS: []string{estate.Subject}})
	if err != nil {
		return err
	}
	b.SetCertificate(&p.TLS)
	return nil
}

// load asks kept and each; the answer must be the host's own backend's.
func (r *rotation) load(rate float64) *load.Load {
	c := r.site.Load(rate)
	expect := func(o *load.Outcome) error {
		if err := load.Code(http.StatusOK)(o); err != nil {
			return err
		}
		if got := o.Header.Get("X-Backend"); got != o.Host[:4] {
			return fmt.Errorf("backend %q", got)
		}
		return nil
	}
	c.Next = func(n int) load.Request {
		if n%5 == 0 {
			return load.Request{Host: eachHost, Expect: expect}
		}
		return load.Request{Host: keptHost, Expect: expect}
	}
	return load.Start(c)
}

// rotated is what rotations did.
type rotated struct {
	// took is from the rename to the first connection with the new material.
	took     []time.Duration
	requests load.Result
	// kept and opened are the connections of the backend that keeps its: there
	// before, and opened since.
	kept, opened int64
}

// run rotates n times under load.
func (r *rotation) run(ctx context.Context, n int, rate float64, rotate func(i int) (time.Duration, error)) (rotated, error) {
	for _, h := range []string{keptHost, eachHost} {
		if _, err := estate.Until(r.site.Served(h, false)); err != nil {
			return rotated{}, fmt.Errorf("%s: %w", h, err)
		}
	}
	l := r.load(rate)
	out := rotated{kept: r.kept.Connections()}
	var err error
	for i := 0; i < n && err == nil && ctx.Err() == nil; i++ {
		var d time.Duration
		if d, err = rotate(i); err == nil {
			out.took = append(out.took, d)
		}
	}
	out.requests = l.Stop()
	out.opened = r.kept.Connections() - out.kept
	return out, errors.Join(err, ctx.Err())
}

// trust rotates the bundle: the new one drops the oldest authority and adds
// one more.
func (r *rotation) trust(i int) (time.Duration, error) {
	if err := errors.Join(r.serve(r.each, i+1), r.serve(r.first, i+2)); err != nil {
		return 0, err
	}
	request := load.Request{Host: firstHost}
	if o := r.site.Ask(request); o.Code != http.StatusServiceUnavailable {
		return 0, fmt.Errorf("a backend whose authority is not in the bundle answers %d: %w", o.Code, o.Err)
	}
	at, err := r.site.Write("rotation-ca", r.bundle(i+1))
	if err != nil {
		return 0, err
	}
	seen, err := estate.Until(func() (bool, error) {
		o := r.site.Ask(request)
		if o.Err == nil && o.Code != http.StatusOK && o.Code != http.StatusServiceUnavailable {
			return false, fmt.Errorf("%s answers %d", o.Host, o.Code)
		}
		return o.Code == http.StatusOK, o.Err
	})
	return seen.Sub(at), err
}

// certificate rotates the client certificate.
func (r *rotation) certificate(int) (time.Duration, error) {
	doc, pair, err := r.client()
	if err != nil {
		return 0, err
	}
	at, err := r.site.Write("rotation-client", doc)
	if err != nil {
		return 0, err
	}
	seen, err := estate.Until(func() (bool, error) {
		o := r.site.Ask(load.Request{Host: firstHost})
		if o.Err != nil {
			return false, o.Err
		}
		var got backend.Request
		if o.Code != http.StatusOK || json.Unmarshal(o.Body, &got) != nil {
			return false, fmt.Errorf("%s answers %d, %q", o.Host, o.Code, o.Body)
		}
		return bytes.Equal(got.ClientCertificate, pair.Leaf().Raw), nil
	})
	return seen.Sub(at), err
}

// prepareRotations puts the EnvoyFleet there before the start: the client
// certificate is every host's.
func prepareRotations(b *bench) error {
	var err error
	if b.rotation, err = newRotation(&b.Site, b.changes); err != nil {
		return err
	}
	return b.putAll(b.rotation.files())
}

func runRotations(b *bench) error {
	var wrong []error
	for _, kind := range []struct {
		name   string
		rotate func(int) (time.Duration, error)
	}{{"trust bundle rotated", b.rotation.trust}, {"client certificate rotated", b.rotation.certificate}} {
		r, err := b.rotation.run(b.ctx, b.changes, b.rate, kind.rotate)
		b.Times(kind.name+", to a handshake with the new", r.took, figures.Max(50))
		b.Histogram("requests, "+kind.name, &r.requests.Latency)
		b.Count("unexpected answers, "+kind.name, r.requests.Unexpected, figures.Max(0))
		b.Count("connections opened to a backend that keeps its, "+kind.name, int(r.opened), figures.Max(0))
		if r.opened != 0 {
			wrong = append(wrong, fmt.Errorf("%s: %d connections to the backend that keeps its were opened beside %d", kind.name, r.opened, r.kept))
		}
		wrong = append(wrong, err, r.requests.Wrong(kind.name))
	}
	return errors.Join(wrong...)
}
