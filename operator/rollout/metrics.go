package rollout

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reason says why the time of a change was not measured.
type Reason string

// Reasons.
const (
	// Superseded: the same object changed again before it was acknowledged, and
	// an older change of it was under way still.
	Superseded Reason = "superseded"
	// Untouched: its revision changed nothing for any Envoy.
	Untouched Reason = "untouched"
	// NoEnvoy: no Envoy of the fleets concerned was connected.
	NoEnvoy Reason = "no_envoy"
	// Abandoned: all Envoys went before one had acknowledged it.
	Abandoned Reason = "abandoned"
	// Overflow: too many changes of the fleet wait for an acknowledgement.
	Overflow Reason = "overflow"
)

// Reasons are all of them.
var Reasons = []Reason{Superseded, Untouched, NoEnvoy, Abandoned, Overflow}

// Names of the metrics; docs/metrics.md explains them.
const (
	propagationName = "signet_propagation_seconds"
	unobservedName  = "signet_propagation_unobserved_total"
	pendingName     = "signet_propagation_pending"
	oldestName      = "signet_propagation_oldest_seconds"
)

// buckets are in seconds: from half a millisecond to a minute.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

var (
	pendingDesc = prometheus.NewDesc(pendingName,
		"Changes that a connected Envoy of the fleet has yet to acknowledge.", []string{"namespace", "fleet"}, nil)
	oldestDesc = prometheus.NewDesc(oldestName,
		"Age of the oldest change that a connected Envoy of the fleet has yet to acknowledge; 0 when there is none.",
		[]string{"namespace", "fleet"}, nil)
)

type metrics struct {
	propagation *prometheus.HistogramVec
	skipped     *prometheus.CounterVec
}

func newMetrics() metrics {
	m := metrics{
		propagation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: propagationName,
			Help: "Time from the delivery of a change by its source to the last acknowledgement of the Envoys concerned.",
			// Scrapers that ask for native histograms get those, others the buckets.
			Buckets: buckets, NativeHistogramBucketFactor: 1.1,
			NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"kind"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: unobservedName,
			Help: "Changes whose propagation was not measured, by reason.",
		}, []string{"kind", "reason"}),
	}
	for _, k := range Kinds { // so that each series is there from the start
		m.propagation.WithLabelValues(string(k))
		for _, r := range Reasons {
			m.skipped.WithLabelValues(string(k), string(r))
		}
	}
	return m
}

func (m *metrics) observe(k Kind, d time.Duration) {
	m.propagation.WithLabelValues(string(k)).Observe(d.Seconds())
}

func (m *metrics) unobserved(k Kind, why Reason) {
	m.skipped.WithLabelValues(string(k), string(why)).Inc()
}

// Describe implements prometheus.Collector.
func (t *Tracker) Describe(to chan<- *prometheus.Desc) {
	t.metrics.propagation.Describe(to)
	t.metrics.skipped.Describe(to)
	to <- pendingDesc
	to <- oldestDesc
}

// Collect implements prometheus.Collector.
func (t *Tracker) Collect(to chan<- prometheus.Metric) {
	t.metrics.propagation.Collect(to)
	t.metrics.skipped.Collect(to)
	now := t.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.fleets {
		age := 0.0
		if x := f.oldest(); x != nil {
			age = now.Sub(x.earliest).Seconds()
		}
		to <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(f.pending), f.name.Namespace, f.name.Name)
		to <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, age, f.name.Namespace, f.name.Name)
	}
}
