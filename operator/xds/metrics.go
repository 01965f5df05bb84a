package xds

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is the name of a metric that the server gives.
type Metric string

// The metrics. Those of a fleet have the labels namespace and fleet, those of a
// type of resource the label type.
const (
	// MetricStreams counts connected Envoys by fleet, and by the label ready:
	// whether they have acknowledged a complete revision.
	MetricStreams Metric = "signet_xds_streams"
	// MetricStreamsBehind counts those that have not acknowledged the newest
	// revision of their fleet.
	MetricStreamsBehind Metric = "signet_xds_streams_behind"
	// MetricRevision is the newest published revision.
	MetricRevision Metric = "signet_xds_revision"
	// MetricRejected counts what each Envoy of a fleet refuses now.
	MetricRejected Metric = "signet_xds_rejected_resources"
	// MetricWarming counts the clusters that each Envoy of a fleet does not get
	// warm.
	MetricWarming Metric = "signet_xds_warming_clusters"
	// MetricExpiry is when the first certificate of a fleet's connected Envoys
	// expires, in seconds since 1970; a fleet without Envoys has none.
	MetricExpiry Metric = "signet_xds_client_certificate_expiry_timestamp_seconds"
	// MetricResponses, MetricBytes, MetricAcks and MetricNacks count responses
	// that were sent, their bytes, and Envoys' answers, by type.
	MetricResponses Metric = "signet_xds_responses_total"
	MetricBytes     Metric = "signet_xds_sent_bytes_total"
	MetricAcks      Metric = "signet_xds_acks_total"
	MetricNacks     Metric = "signet_xds_nacks_total"
	// MetricRefused counts refused streams by the label reason: RefusedIdentity
	// and its like.
	MetricRefused Metric = "signet_xds_refused_streams_total"
	// MetricEnded counts streams that the server ended, by the label reason:
	// EndedAge and its like.
	MetricEnded Metric = "signet_xds_ended_streams_total"
	// MetricIgnored counts parts of requests without effect, by the label
	// reason: IgnoredType and its like.
	MetricIgnored Metric = "signet_xds_ignored_total"
)

// Reason is a value of the label reason.
type Reason string

// The reasons.
const (
	// RefusedIdentity is of a client whose certificate names no fleet.
	RefusedIdentity Reason = "identity"
	// RefusedLimit and RefusedFleetLimit are of too many streams, in all or of
	// one fleet.
	RefusedLimit      Reason = "limit"
	RefusedFleetLimit Reason = "fleet limit"

	// EndedAge and EndedExpiry are of connections that are old, or whose
	// certificate is about to expire: Envoy comes back.
	EndedAge    Reason = "age"
	EndedExpiry Reason = "expiry"
	// EndedDistrusted is of an authority that is trusted no more.
	EndedDistrusted Reason = "distrusted"
	// EndedRequest is of a request that is too long or not one.
	EndedRequest Reason = "request"
	// EndedUnacknowledged is of a client that asks on and answers nothing, or that
	// refuses the same again and again.
	EndedUnacknowledged Reason = "unacknowledged"

	// IgnoredType is of a type of resource that is not served.
	IgnoredType Reason = "unknown type"
	// IgnoredNonce is of an answer to nothing, or the second one.
	IgnoredNonce Reason = "nonce"
	// IgnoredNames is of names that are empty, no UTF-8, too long or too many.
	IgnoredNames Reason = "names"
)

type counters struct {
	byType  [kindCount]struct{ responses, bytes, acks, nacks atomic.Uint64 }
	refused struct{ identity, limit, fleetLimit atomic.Uint64 }
	ended   struct{ age, expiry, distrusted, request, unacknowledged atomic.Uint64 }
	ignored struct{ unknownType, nonces, names atomic.Uint64 }
}

var (
	ofFleet  = []string{"namespace", "fleet"}
	ofType   = []string{"type"}
	byReason = []string{"reason"}

	streamsDesc   = describeMetric(MetricStreams, "Connected Envoys, and whether they are ready.", "namespace", "fleet", "ready")
	behindDesc    = describeMetric(MetricStreamsBehind, "Connected Envoys without the newest revision of their fleet.", ofFleet...)
	revisionDesc  = describeMetric(MetricRevision, "The newest published revision.")
	rejectedDesc  = describeMetric(MetricRejected, "Resources that an Envoy of the fleet refuses now.", ofFleet...)
	warmingDesc   = describeMetric(MetricWarming, "Clusters that an Envoy of the fleet does not get warm.", ofFleet...)
	expiryDesc    = describeMetric(MetricExpiry, "When the first client certificate of the fleet's connected Envoys expires.", ofFleet...)
	responsesDesc = describeMetric(MetricResponses, "Responses sent.", ofType...)
	bytesDesc     = describeMetric(MetricBytes, "Bytes of responses sent, before TLS.", ofType...)
	acksDesc      = describeMetric(MetricAcks, "Responses that Envoys acknowledged.", ofType...)
	nacksDesc     = describeMetric(MetricNacks, "Responses that Envoys refused.", ofType...)
	refusedDesc   = describeMetric(MetricRefused, "Streams refused.", byReason...)
	endedDesc     = describeMetric(MetricEnded, "Streams ended by the server; after age and expiry Envoy comes back.", byReason...)
	ignoredDesc   = describeMetric(MetricIgnored, "Requests, or parts of them, without effect.", byReason...)
)

func describeMetric(name Metric, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(string(name), help, labels, nil)
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		streamsDesc, behindDesc, revisionDesc, rejectedDesc, warmingDesc, expiryDesc,
		responsesDesc, bytesDesc, acksDesc, nacksDesc, refusedDesc, endedDesc, ignoredDesc,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(to chan<- prometheus.Metric) {
	state := s.State()
	gauge(to, revisionDesc, float64(state.Revision))
	for i := range state.Fleets {
		state.Fleets[i].collect(to)
	}
	count := func(d *prometheus.Desc, v *atomic.Uint64, label string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v.Load()), label)
	}
	c := &s.counters
	for k := range c.byType {
		label := kind(k).String()
		count(responsesDesc, &c.byType[k].responses, label)
		count(bytesDesc, &c.byType[k].bytes, label)
		count(acksDesc, &c.byType[k].acks, label)
		count(nacksDesc, &c.byType[k].nacks, label)
	}
	for _, r := range []struct {
		desc   *prometheus.Desc
		value  *atomic.Uint64
		reason Reason
	}{
		{refusedDesc, &c.refused.identity, RefusedIdentity},
		{refusedDesc, &c.refused.limit, RefusedLimit},
		{refusedDesc, &c.refused.fleetLimit, RefusedFleetLimit},
		{endedDesc, &c.ended.age, EndedAge},
		{endedDesc, &c.ended.expiry, EndedExpiry},
		{endedDesc, &c.ended.distrusted, EndedDistrusted},
		{endedDesc, &c.ended.request, EndedRequest},
		{endedDesc, &c.ended.unacknowledged, EndedUnacknowledged},
		{ignoredDesc, &c.ignored.unknownType, IgnoredType},
		{ignoredDesc, &c.ignored.nonces, IgnoredNonce},
		{ignoredDesc, &c.ignored.names, IgnoredNames},
	} {
		count(r.desc, r.value, string(r.reason))
	}
}

func gauge(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (f *FleetState) collect(to chan<- prometheus.Metric) {
	var ready, rejected, behind, warming int
	var expiry time.Time
	for i := range f.Streams {
		st := &f.Streams[i]
		rejected += len(st.Rejected)
		warming += len(st.Warming)
		expiry = earlier(expiry, st.Expires)
		if st.Ready > 0 {
			ready++
		}
		if st.Acknowledged < f.Revision {
			behind++
		}
	}
	namespace, name := f.Fleet.Namespace, f.Fleet.Name
	gauge(to, streamsDesc, float64(ready), namespace, name, "true")
	gauge(to, streamsDesc, float64(len(f.Streams)-ready), namespace, name, "false")
	gauge(to, rejectedDesc, float64(rejected), namespace, name)
	gauge(to, behindDesc, float64(behind), namespace, name)
	gauge(to, warmingDesc, float64(warming), namespace, name)
	if !expiry.IsZero() {
		gauge(to, expiryDesc, float64(expiry.Unix()), namespace, name)
	}
}
