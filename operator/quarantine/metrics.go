package quarantine

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// label is what figures are kept by.
type label struct {
	fleet ir.Name
	kind  envoy.Type
}

type count struct {
	held     int
	refusals uint64
}

var (
	heldDesc = prometheus.NewDesc("signet_quarantined_resources",
		"Resources, or parts of them, that Envoy refuses and that are held back now.", []string{"namespace", "fleet", "type"}, nil)
	refusalsDesc = prometheus.NewDesc("signet_refusals_total",
		"Resources that an Envoy has refused, each time that one did.", []string{"namespace", "fleet", "type"}, nil)
)

// count is called with the mutex held.
func (q *Quarantine) count(fleet ir.Name, kind envoy.Type) *count {
	k := label{fleet, kind}
	c := q.counted[k]
	if c == nil {
		c = &count{}
		q.counted[k] = c
	}
	return c
}

// show publishes the figures of the book.
func (q *Quarantine) show() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.counted {
		c.held = 0
	}
	for key := range q.book.rows {
		q.count(key.Fleet, key.Type).held++
	}
}

// Describe implements prometheus.Collector.
func (q *Quarantine) Describe(to chan<- *prometheus.Desc) {
	to <- heldDesc
	to <- refusalsDesc
}

// Collect implements prometheus.Collector.
func (q *Quarantine) Collect(to chan<- prometheus.Metric) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for k, c := range q.counted {
		labels := []string{k.fleet.Namespace, k.fleet.Name, kinds[k.kind]}
		to <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(c.held), labels...)
		to <- prometheus.MustNewConstMetric(refusalsDesc, prometheus.CounterValue, float64(c.refusals), labels...)
	}
}
