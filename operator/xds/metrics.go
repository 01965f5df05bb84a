package xds

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type counters struct {
	byType  [kindCount]struct{ responses, bytes, acks, nacks atomic.Uint64 }
	refused struct{ identity, limit, fleetLimit atomic.Uint64 }
	ended   struct{ age, expiry, distrusted atomic.Uint64 }
	ignored struct{ unknownType, nonces, names atomic.Uint64 }
}

var (
	streamsDesc = prometheus.NewDesc("signet_xds_streams",
		"Connected Envoys by fleet, and whether they have acknowledged a complete revision.", []string{"namespace", "fleet", "ready"}, nil)
	revisionDesc = prometheus.NewDesc("signet_xds_revision",
		"The newest published revision.", nil, nil)
	rejectedDesc = prometheus.NewDesc("signet_xds_rejected_resources",
		"Resources that an Envoy of the fleet refuses now.", []string{"namespace", "fleet"}, nil)
	behindDesc = prometheus.NewDesc("signet_xds_streams_behind",
		"Connected Envoys that have not acknowledged the newest revision of their fleet.", []string{"namespace", "fleet"}, nil)
	warmingDesc = prometheus.NewDesc("signet_xds_warming_clusters",
		"Clusters that an Envoy of the fleet does not get warm.", []string{"namespace", "fleet"}, nil)
	responsesDesc = typedDesc("signet_xds_responses_total", "Responses sent.")
	bytesDesc     = typedDesc("signet_xds_sent_bytes_total", "Bytes of responses sent, before TLS.")
	acksDesc      = typedDesc("signet_xds_acks_total", "Responses that Envoys acknowledged.")
	nacksDesc     = typedDesc("signet_xds_nacks_total", "Responses that Envoys refused.")
	refusedDesc   = prometheus.NewDesc("signet_xds_refused_streams_total",
		"Streams refused, by reason.", []string{"reason"}, nil)
	endedDesc = prometheus.NewDesc("signet_xds_ended_streams_total",
		"Streams that the server ended so that Envoy comes back with its newest certificate, by reason.", []string{"reason"}, nil)
	ignoredDesc = prometheus.NewDesc("signet_xds_ignored_total",
		"Requests, or parts of them, without effect, by reason.", []string{"reason"}, nil)
)

func typedDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"type"}, nil)
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		streamsDesc, revisionDesc, rejectedDesc, behindDesc, warmingDesc,
		responsesDesc, bytesDesc, acksDesc, nacksDesc, refusedDesc, endedDesc, ignoredDesc,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v *atomic.Uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v.Load()), labels...)
	}
	state := s.State()
	gauge(revisionDesc, float64(state.Revision))
	for _, f := range state.Fleets {
		var ready, rejected, behind, warming int
		for i := range f.Streams {
			st := &f.Streams[i]
			rejected += len(st.Rejected)
			warming += len(st.Warming)
			if st.Ready > 0 {
				ready++
			}
			if st.Acknowledged < f.Revision {
				behind++
			}
		}
		namespace, name := f.Fleet.Namespace, f.Fleet.Name
		gauge(streamsDesc, float64(ready), namespace, name, "true")
		gauge(streamsDesc, float64(len(f.Streams)-ready), namespace, name, "false")
		gauge(rejectedDesc, float64(rejected), namespace, name)
		gauge(behindDesc, float64(behind), namespace, name)
		gauge(warmingDesc, float64(warming), namespace, name)
	}
	c := &s.counters
	for k := range c.byType {
		label := kind(k).String()
		count(responsesDesc, &c.byType[k].responses, label)
		count(bytesDesc, &c.byType[k].bytes, label)
		count(acksDesc, &c.byType[k].acks, label)
		count(nacksDesc, &c.byType[k].nacks, label)
	}
	count(refusedDesc, &c.refused.identity, "identity")
	count(refusedDesc, &c.refused.limit, "limit")
	count(refusedDesc, &c.refused.fleetLimit, "fleet limit")
	count(endedDesc, &c.ended.age, "age")
	count(endedDesc, &c.ended.expiry, "expiry")
	count(endedDesc, &c.ended.distrusted, "distrusted")
	count(ignoredDesc, &c.ignored.unknownType, "unknown type")
	count(ignoredDesc, &c.ignored.nonces, "nonce")
	count(ignoredDesc, &c.ignored.names, "names")
}
