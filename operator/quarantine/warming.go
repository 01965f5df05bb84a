package quarantine

import (
	"strings"

	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
)

// warming is which clusters no Envoy gets warm, by the streams that say so.
// Their routes would be answered by nobody: they take their fail-closed form
// until a stream says that some Envoy has it warm, or all that complained are gone.
type warming struct {
	waits   map[translator.ClusterKey]*wait
	changed map[translator.ClusterKey]bool
}

type wait struct {
	streams map[uint64]bool
	// what it waits for, by the stream that spoke last.
	what string
}

func newWarming() warming {
	return warming{waits: map[translator.ClusterKey]*wait{}, changed: map[translator.ClusterKey]bool{}}
}

var _ xds.WarmingObserver = (*Quarantine)(nil)

// OnWarming implements xds.WarmingObserver. A cluster that an Envoy serves, with
// these bytes or earlier ones, stays; and so does one of several of which it is
// not known which one Envoy waits for: the state of the stream names them.
func (q *Quarantine) OnWarming(w xds.Warming) {
	q.mu.Lock()
	for i := range w.Clusters {
		c := &w.Clusters[i]
		if c.Taken || c.Served || len(c.Missing) == 0 && !c.Outside {
			continue
		}
		key := translator.ClusterKey{Fleet: w.Fleet, Name: c.Name}
		x := q.warming.waits[key]
		if x == nil {
			x = &wait{streams: map[uint64]bool{}}
			q.warming.waits[key] = x
		}
		x.streams[w.Stream], x.what = true, waitsFor(c)
		q.warming.changed[key] = true
	}
	q.mu.Unlock()
	q.look()
}

// OnWarm implements xds.WarmingObserver.
func (q *Quarantine) OnWarm(w xds.Warm) {
	q.mu.Lock()
	for name, outcome := range w.Clusters {
		key := translator.ClusterKey{Fleet: w.Fleet, Name: name}
		x := q.warming.waits[key]
		if x == nil {
			continue
		}
		delete(x.streams, w.Stream)
		if outcome == xds.WarmAcknowledged || outcome == xds.WarmTaken || len(x.streams) == 0 {
			delete(q.warming.waits, key)
		}
		q.warming.changed[key] = true
	}
	q.mu.Unlock()
	q.look()
}

func waitsFor(c *xds.WarmingCluster) string {
	var out []string
	for _, m := range c.Missing {
		out = append(out, strings.TrimSuffix(kinds[m.Type], "s")+" "+m.Name+" ("+string(m.Reason)+")")
	}
	if c.Outside {
		out = append(out, "a name to be resolved or the first answer to a health check")
	}
	return strings.Join(out, ", ")
}

// warmth puts what has changed into c. The mutex is held.
func (q *Quarantine) warmth(t *translator.Translator, c *graph.Changes) {
	for key := range q.warming.changed {
		if x := q.warming.waits[key]; x != nil {
			t.Warming.Put(c, key, x.what)
		} else {
			t.Warming.Delete(c, key)
		}
	}
	clear(q.warming.changed)
}

var kinds = map[envoy.Type]string{
	envoy.ClusterType: "clusters", envoy.EndpointType: "endpoints", envoy.SecretType: "secrets",
	envoy.ListenerType: "listeners", envoy.ScopeType: "scopes",
}
