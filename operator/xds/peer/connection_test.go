package peer

import (
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/signetproxy/signet/translator/ir"
)

// A connection ends within its bounds, and no two at the same moment.
func TestLifeOfAConnection(t *testing.T) {
	now := time.Now()
	cert := func(left time.Duration) *x509.Certificate { return &x509.Certificate{NotAfter: now.Add(left)} }
	cases := map[string]struct {
		reason      string
		chain       []*x509.Certificate
		age         time.Duration
		first, last time.Duration // of soft
		grace       time.Duration // at least, from soft to hard
		latest      time.Duration // of hard
	}{
		"expiry": {"before the certificate expires, by a twentieth and up to a tenth more", []*x509.Certificate{cert(100 * time.Hour)},
			1000 * time.Hour, 85 * time.Hour, 95 * time.Hour, 5 * time.Hour, 100 * time.Hour},
		"authority": {"one that expires first counts", []*x509.Certificate{cert(100 * time.Hour), cert(10 * time.Hour)},
			1000 * time.Hour, 8*time.Hour + 30*time.Minute, 9*time.Hour + 30*time.Minute, 30 * time.Minute, 10 * time.Hour},
		"age": {"a fifth early", []*x509.Certificate{cert(100 * time.Hour)},
			10 * time.Hour, 8 * time.Hour, 10 * time.Hour, ageGrace, 10*time.Hour + ageGrace},
		"both": {"the grace of age does not outlive the certificate", []*x509.Certificate{cert(time.Minute)},
			52 * time.Second, 41 * time.Second, 57 * time.Second, 0, time.Minute},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			soft := map[time.Time]bool{}
			for range 100 {
				c := lifeOf(tc.chain, now, tc.age)
				soft[c.Soft] = true
				if got := c.Soft.Sub(now); got < tc.first || got > tc.last {
					t.Errorf("%s: the soft end is after %s, want %s to %s", tc.reason, got, tc.first, tc.last)
				}
				if c.Hard.Sub(c.Soft) < tc.grace || c.Hard.Sub(now) > tc.latest {
					t.Errorf("%s: hard end after %s, %s behind the soft one", tc.reason, c.Hard.Sub(now), c.Hard.Sub(c.Soft))
				}
			}
			if len(soft) < 50 {
				t.Errorf("100 connections end at %d moments", len(soft))
			}
		})
	}
}

// A stream that begins on a connection whose certificate has expired meanwhile
// is refused, and the connection ends.
func TestAnExpiredConnectionIsNobody(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	uri, err := url.Parse("spiffe://signetproxy.io/fleet/prod/edge")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(*url.URL) (ir.Name, error) { return ir.Name{Namespace: "prod", Name: "edge"}, nil }
	c := &Connection{Conn: near, chain: []*x509.Certificate{{URIs: []*url.URL{uri}}}}
	ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: peerInfo{connection: c}, Addr: near.LocalAddr()})
	c.Expires = time.Now().Add(time.Hour)
	if who, err := Identify(ctx, parse); err != nil || who.URI != uri.String() || c.Retired() {
		t.Errorf("before: %+v, %v", who, err)
	}
	c.Expires = time.Now()
	if _, err := Identify(ctx, parse); err == nil || !strings.Contains(err.Error(), "expired") || !c.Retired() {
		t.Errorf("after: %v; the connection ends: %v", err, c.Retired())
	}
	if _, err := Identify(t.Context(), parse); !errors.Is(err, errNotVerified) {
		t.Errorf("no connection: %v, want errNotVerified", err)
	}
}
