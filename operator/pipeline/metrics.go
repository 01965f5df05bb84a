package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetproxy/signet/operator/source"
)

// Names of the metrics; docs/metrics.md explains them.
const (
	commitName   = "signet_commit_seconds"
	queueName    = "signet_queue_length"
	problemsName = "signet_source_problems"
	completeName = "signet_source_complete"
)

var (
	queueDesc = prometheus.NewDesc(queueName,
		"Changes of objects that the source has delivered and that are in no commit yet.", nil, nil)
	problemsDesc = prometheus.NewDesc(problemsName,
		"What is wrong with what the source reads, by severity.", []string{"severity"}, nil)
	completeDesc = prometheus.NewDesc(completeName,
		"1 when the source has given its complete first list, else 0.", nil, nil)
)

func newCommitSeconds() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: commitName, Help: "Time that one commit took, from its changes to its revision.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})
}

// Describe implements prometheus.Collector.
func (p *Pipeline) Describe(to chan<- *prometheus.Desc) {
	p.commits.Describe(to)
	to <- queueDesc
	to <- problemsDesc
	to <- completeDesc
}

// Collect implements prometheus.Collector. It never waits for a commit.
func (p *Pipeline) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	p.commits.Collect(to)
	gauge(queueDesc, float64(p.translator.Pending()))
	bySeverity := map[source.Severity]int{}
	for _, x := range p.Problems() {
		bySeverity[x.Severity]++
	}
	for _, s := range []source.Severity{source.Error, source.Warning} {
		gauge(problemsDesc, float64(bySeverity[s]), string(s))
	}
	complete := 0.0
	if p.IsComplete() {
		complete = 1
	}
	gauge(completeDesc, complete)
}
