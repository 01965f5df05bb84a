package metrics

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/xds"
)

// Sources are the parts that have metrics. All but Now are required.
type Sources struct {
	// Version of the program.
	Version  string
	Pipeline *pipeline.Pipeline
	XDS      *xds.Server
	Rollout  *rollout.Tracker
	// Quarantine holds back what Envoys refuse.
	Quarantine *quarantine.Quarantine
	// Now is the clock that expiries are counted from; nil is time.Now.
	Now func() time.Time
}

// Registry makes the registry of all metrics.
func Registry(s Sources) *prometheus.Registry {
	r := prometheus.NewRegistry()
	for _, c := range Collectors(s) {
		r.MustRegister(c)
	}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Collectors are those of Signet's own metrics, for a registry that has the Go
// runtime's already.
func Collectors(s Sources) []prometheus.Collector {
	if s.Now == nil {
		s.Now = time.Now
	}
	return []prometheus.Collector{
		newBuildInfo(s.Version), s.Pipeline, s.XDS, s.Rollout, s.Quarantine,
		&translation{translator: s.Pipeline.Translator(), now: s.Now},
	}
}

func newBuildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: buildName, Help: "1, with the version of Signet and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	}, func() float64 { return 1 })
}
