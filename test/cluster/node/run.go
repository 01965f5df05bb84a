package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Run lays out the namespaces, starts the components and keeps them running
// until the context ends.
func Run(ctx context.Context, state Dir) error {
	spec, err := ReadSpec(state)
	if err != nil {
		return err
	}
	path := strings.Join(spec.Tools, ":") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if err := os.Setenv("PATH", path); err != nil {
		return err
	}
	if err := mounts(state); err != nil {
		return err
	}
	if err := network(ctx, &spec.Ranges); err != nil {
		return err
	}
	n := &node{ctx: ctx}
	first, second := n.add(state, early(spec)), n.add(state, late(spec))
	if err := n.serve(ctx, state.Control()); err != nil {
		return err
	}
	if err := n.start(first); err != nil {
		return err
	}
	if err := n.ready(ctx, spec); err != nil {
		return err
	}
	if err := n.start(second); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

type node struct {
	ctx       context.Context
	processes []*process
}

func (n *node) add(state Dir, components []component) []*process {
	var added []*process
	for _, c := range components {
		added = append(added, &process{component: c, log: state.Log(c.name)})
	}
	n.processes = append(n.processes, added...)
	return added
}

func (n *node) start(processes []*process) error {
	for _, p := range processes {
		if err := p.start(n.ctx); err != nil {
			return err
		}
	}
	return nil
}

// tries is how often a component may end before the API server is ready: more
// often means that it is told something wrong.
const tries = 5

// ready waits until the API server says that it is.
func (n *node) ready(ctx context.Context, s *Spec) error {
	ca, err := os.ReadFile(s.State.Config("ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Ranges.APIServer()+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := client.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		for _, p := range n.processes {
			if s := p.state(); s.Ends >= tries {
				return fmt.Errorf("%s ended %d times before the API server was ready", s.Name, s.Ends)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// serve answers, on a socket that root alone can reach, what the components do
// (GET /components), and stops and starts one (POST /components/NAME/stop).
func (n *node) serve(ctx context.Context, socket string) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /components", func(w http.ResponseWriter, _ *http.Request) {
		states := make([]State, 0, len(n.processes))
		for _, p := range n.processes {
			states = append(states, p.state())
		}
		_ = json.NewEncoder(w).Encode(states) // the client may be gone
	})
	for action, do := range map[string]func(*process) error{
		"stop":  func(p *process) error { p.kill(); return nil },
		"start": func(p *process) error { return p.start(n.ctx) },
	} {
		mux.HandleFunc("POST /components/{name}/"+action, func(w http.ResponseWriter, r *http.Request) {
			p, err := find(n.processes, r.PathValue("name"))
			if err == nil {
				err = do(p)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.WriteHeader(http.StatusOK)
		})
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintf(os.Stderr, "node: control socket: %v\n", err)
		}
	}()
	return nil
}
