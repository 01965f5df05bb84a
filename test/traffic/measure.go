package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetproxy/signet/test/world"
)

// change is one kind of change: what is written, and what shows it.
type change struct {
	name string
	// apply makes the i-th change.
	apply func(e *estate, i int) error
	// host is the host that is asked, shows tells whether an answer is new, and
	// whether an answer that is not new is the old one.
	host  func(e *estate, i int) string
	shows func(i int, r *answer) bool
	stale func(i int, r *answer) bool
}

func ok(r *answer) bool { return r.code == http.StatusOK }

// pickHost spreads the changes over the hosts.
func pickHost(e *estate, i int) int { return (i * 7919) % e.n }

var changes = []change{
	{
		name: "header edited",
		apply: func(e *estate, i int) error {
			k := pickHost(e, i)
			return e.write(fmt.Sprintf("proxy-%d.yaml", k), proxy(k, fmt.Sprint("v", i+1)))
		},
		host:  func(e *estate, i int) string { return host(pickHost(e, i)) },
		shows: func(i int, r *answer) bool { return ok(r) && r.header.Get("X-Version") == fmt.Sprint("v", i+1) },
		stale: func(_ int, r *answer) bool { return ok(r) },
	},
	{
		name: "endpoints changed",
		apply: func(e *estate, i int) error {
			k := pickHost(e, i)
			return e.write(fmt.Sprintf("slice-%d.yaml", k), world.Endpoints("default", fmt.Sprint("s", k), e.backends[1]))
		},
		host:  func(e *estate, i int) string { return host(pickHost(e, i)) },
		shows: func(_ int, r *answer) bool { return ok(r) && r.header.Get("X-Backend") == "b" },
		stale: func(_ int, r *answer) bool { return ok(r) },
	},
	{
		name: "host added",
		apply: func(e *estate, i int) error {
			k := e.n + i
			return e.write(fmt.Sprintf("new-%d.yaml", k), world.All(
				world.Service("default", fmt.Sprint("s", k), 443, nil, e.backends[0]), proxy(k, "v0")))
		},
		host:  func(e *estate, i int) string { return host(e.n + i) },
		shows: func(_ int, r *answer) bool { return ok(r) },
		stale: func(_ int, r *answer) bool { return r.code == http.StatusNotFound },
	},
	{
		name: "host removed",
		apply: func(e *estate, i int) error {
			if err := os.Remove(filepath.Join(e.dir, fmt.Sprintf("new-%d.yaml", e.n+i))); err != nil {
				return fmt.Errorf("manifest: %w", err)
			}
			return nil
		},
		host:  func(e *estate, i int) string { return host(e.n + i) },
		shows: func(_ int, r *answer) bool { return r.code == http.StatusNotFound },
		stale: func(_ int, r *answer) bool { return ok(r) },
	},
}

// pause is between two changes: each is measured alone.
const pause = 20 * time.Millisecond

func measure(ctx context.Context, signet string, hosts, n int) ([]Figure, error) {
	e, err := newEstate(ctx, signet, hosts)
	if e != nil {
		defer e.close()
	}
	if err != nil {
		return nil, err
	}
	var out []Figure
	for _, c := range changes {
		took := make([]time.Duration, 0, n)
		for i := range n {
			// A first request opens the connections that later ones use.
			if _, err := e.ask(ctx, c.host(e, i)); err != nil {
				return out, fmt.Errorf("%s %d: %w", c.name, i, err)
			}
			<-time.After(pause)
			d, err := e.until(ctx, &c, i)
			if err != nil {
				return out, fmt.Errorf("%s %d: %w", c.name, i, err)
			}
			took = append(took, d)
		}
		slices.Sort(took)
		out = append(out, Figure{
			Hosts: hosts, Change: c.name, Changes: n,
			P50: ms(took[len(took)/2]), P99: ms(took[(len(took)*99-1)/100]), Max: ms(took[len(took)-1]),
			SignetMiB: rss(e.cmd.Process.Pid), EnvoyMiB: rss(envoyOf(e.cmd.Process.Pid)),
		})
		fmt.Printf("  %-20s p50 %.2f ms\n", c.name, out[len(out)-1].P50)
	}
	return out, nil
}

// until makes a change and asks in a loop until an answer shows it.
func (e *estate) until(ctx context.Context, c *change, i int) (time.Duration, error) {
	name := c.host(e, i)
	began := time.Now()
	if err := c.apply(e, i); err != nil {
		return 0, err
	}
	for time.Since(began) < 20*time.Second {
		r, err := e.ask(ctx, name)
		if err != nil {
			return 0, err
		}
		if c.shows(i, r) {
			return time.Since(began), nil
		}
		if !c.stale(i, r) {
			return 0, fmt.Errorf("%s answered %d with %v: neither the old answer nor the new", name, r.code, r.header)
		}
	}
	return 0, errors.New("not in traffic after 20 s")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// rss is the resident memory of a process in MiB, 0 when it is not known.
func rss(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kib, err := strconv.Atoi(f[1])
			if err != nil {
				return 0
			}
			return kib >> 10
		}
	}
	return 0
}

// envoyOf finds the Envoy below a process: a grandchild, by its supervisor.
func envoyOf(pid int) int {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	parents := map[int]int{}
	envoys := []int{}
	for _, d := range dirs {
		id, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(d, "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		if f := strings.Fields(string(rest)); len(f) > 1 {
			parents[id], _ = strconv.Atoi(f[1])
		}
		if exe, err := os.Readlink(filepath.Join(d, "exe")); err == nil && filepath.Base(exe) == "envoy" {
			envoys = append(envoys, id)
		}
	}
	for _, id := range envoys {
		if parents[id] == pid || parents[parents[id]] == pid {
			return id
		}
	}
	return 0
}
