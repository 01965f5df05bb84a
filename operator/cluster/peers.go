package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/ir"
)

const (
	// envoysPath is, on the address of the metrics, where a replica tells of the
	// Envoys that are connected to it.
	envoysPath = "/envoys"
	// findPeers is how often the leader looks for other replicas.
	findPeers = 5 * time.Second
	// peerPatience bounds one question to a replica.
	peerPatience = time.Second
	// longestTally bounds its answer, in bytes.
	longestTally = 4 << 20
)

// envoyCount counts Envoys of one fleet.
type envoyCount struct {
	Connected    int32 `json:"connected"`
	Acknowledged int32 `json:"acknowledged"`
}

// tally is what one replica knows of its Envoys.
type tally struct {
	// Replica tells replicas apart.
	Replica string `json:"replica"`
	// Fleets by namespace/name.
	Fleets map[string]envoyCount `json:"fleets"`
	// Refusals are what those Envoys refuse.
	Refusals []quarantine.Told `json:"refusals,omitempty"`
}

// tallyOf counts the streams of a server.
func tallyOf(replica string, s *xds.State) tally {
	out := tally{Replica: replica, Fleets: map[string]envoyCount{}}
	for i := range s.Fleets {
		f := &s.Fleets[i]
		n := envoyCount{Connected: int32(len(f.Streams))} //nolint:gosec // limited by the server
		for j := range f.Streams {
			if a := f.Streams[j].Acknowledged; a > 0 && a >= f.Revision {
				n.Acknowledged++
			}
		}
		out.Fleets[f.Fleet.String()] = n
	}
	return out
}

// peers are the other replicas. An Envoy is connected to one replica, by chance;
// the leader, who tells of all Envoys, asks the others for what they count and
// for what is refused there. All of it is for people: nothing that is sent is
// decided by it.
type peers struct {
	replica string
	server  *xds.Server
	held    *quarantine.Quarantine
	client  client.Reader
	// service is the Service of the xDS server, whose endpoints the replicas
	// are; port is where they serve their metrics.
	service client.ObjectKey
	port    string
	http    *http.Client
	log     logr.Logger

	// addresses and found belong to refresh, whose caller is one goroutine.
	addresses []string
	found     time.Time

	mu     sync.Mutex
	others map[string]envoyCount
}

// newPeers returns nil where replicas do not know of each other: without a
// Service, or without an address for metrics.
func newPeers(cfg *Config, replica string, c client.Reader, x *xds.Server, held *quarantine.Quarantine) *peers {
	host, _, err := net.SplitHostPort(cfg.XDSAddress)
	name, rest, isName := strings.Cut(host, ".")
	namespace, _, _ := strings.Cut(rest, ".")
	_, port, portErr := net.SplitHostPort(cfg.MetricsAddress)
	if err != nil || !isName || net.ParseIP(host) != nil || portErr != nil || namespace != cfg.Namespace {
		return nil
	}
	return &peers{
		replica: replica, server: x, held: held, client: c, service: client.ObjectKey{Namespace: namespace, Name: name}, port: port,
		http: &http.Client{Timeout: peerPatience, Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}},
		log:  cfg.Log.WithName("peers"),
	}
}

// ServeHTTP tells of this replica's Envoys.
func (p *peers) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	state := p.server.State()
	answer := tallyOf(p.replica, &state)
	answer.Refusals = p.held.Told()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		p.log.V(1).Info("answering a replica", "error", err.Error())
	}
}

// count is what the other replicas count of a fleet.
func (p *peers) count(n ir.Name) envoyCount {
	if p == nil {
		return envoyCount{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.others[n.String()]
}

// refresh asks all other replicas. One that does not answer counts nothing: it
// has gone, and its Envoys with it, or is about to say more.
func (p *peers) refresh(ctx context.Context) {
	if p == nil {
		return
	}
	if now := time.Now(); now.Sub(p.found) >= findPeers {
		if err := p.find(ctx); err != nil && ctx.Err() == nil {
			p.log.Error(err, "other replicas cannot be looked for: those known are asked")
		}
		p.found = now
	}
	answers := make([]tally, len(p.addresses))
	var asked sync.WaitGroup
	for i, address := range p.addresses {
		asked.Go(func() {
			var err error
			if answers[i], err = p.ask(ctx, address); err != nil && ctx.Err() == nil {
				p.log.V(1).Info("a replica does not answer", "address", address, "error", err.Error())
			}
		})
	}
	asked.Wait()
	sum := map[string]envoyCount{}
	var refusals []quarantine.Told
	seen := map[string]bool{"": true, p.replica: true} // one Service may have several addresses of a replica
	for _, a := range answers {
		if seen[a.Replica] {
			continue
		}
		seen[a.Replica] = true
		refusals = append(refusals, a.Refusals...)
		for fleet, n := range a.Fleets {
			s := sum[fleet]
			sum[fleet] = envoyCount{s.Connected + n.Connected, s.Acknowledged + n.Acknowledged}
		}
	}
	p.held.Learn(refusals)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.others = sum
}

// forget says that nobody is asked any more, which would leave old answers to be
// told.
func (p *peers) forget() {
	if p != nil {
		p.held.Learn(nil)
	}
}

// find lists the addresses of all replicas, ready or not: one that ends may
// still serve.
func (p *peers) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	list := &discoveryv1.EndpointSliceList{}
	err := p.client.List(ctx, list, client.InNamespace(p.service.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: p.service.Name})
	if err != nil {
		return fmt.Errorf("replicas of Service %s: %w", p.service, err)
	}
	p.addresses = nil
	for i := range list.Items {
		for j := range list.Items[i].Endpoints {
			p.addresses = append(p.addresses, list.Items[i].Endpoints[j].Addresses...)
		}
	}
	return nil
}

func (p *peers) ask(ctx context.Context, address string) (out tally, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://"+net.JoinHostPort(address, cmp.Or(p.port, "80"))+envoysPath, http.NoBody)
	if err != nil {
		return out, fmt.Errorf("replica %s: %w", address, err)
	}
	response, err := p.http.Do(request)
	if err != nil {
		return out, fmt.Errorf("replica %s: %w", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return out, fmt.Errorf("replica %s: %s", address, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, longestTally)).Decode(&out); err != nil {
		return tally{}, fmt.Errorf("replica %s: %w", address, err)
	}
	return out, nil
}
