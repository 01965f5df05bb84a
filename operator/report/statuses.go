package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

const (
	proxyKind = string(rollout.HTTPProxy)
	fleetKind = string(rollout.EnvoyFleet)
)

// UnmarshalJSON gives statuses of kinds that are known their own type.
func (s *Status) UnmarshalJSON(b []byte) error {
	type plain Status
	raw := struct {
		*plain
		Status json.RawMessage `json:"status"`
	}{plain: (*plain)(s)}
	if err := json.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("status of an object: %w", err)
	}
	var err error
	switch s.Kind {
	case proxyKind:
		s.Status, err = decode[contourv1.HTTPProxyStatus](raw.Status)
	case fleetKind:
		s.Status, err = decode[v1alpha1.EnvoyFleetStatus](raw.Status)
	default:
		s.Status, err = decodeGateway(s.Kind, raw.Status)
	}
	return err
}

func decode[T any](b []byte) (T, error) {
	var out T
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("status: %w", err)
	}
	return out, nil
}

func (v view) proxyStatuses(b Builder) []Status {
	var out []Status
	for n, s := range v.t.ProxyStatuses.All(v.r) {
		out = append(out, Status{
			APIVersion: contourv1.GroupVersion.String(), Kind: proxyKind, Namespace: n.Namespace, Name: n.Name, Status: s,
			Programmed: b.programmed(rollout.HTTPProxy, n, v.t.FleetsOf(v.r, n)),
		})
	}
	return out
}

// FleetObject is an EnvoyFleet with the fleet that it shapes.
type FleetObject struct {
	Object *v1alpha1.EnvoyFleet
	// Fleet is zero when another EnvoyFleet was chosen.
	Fleet ir.Name
	// Chosen is the EnvoyFleet that was.
	Chosen ir.Name
	// ClientRenewal is when the client certificate is replaced; zero for none of
	// Signet's.
	ClientRenewal time.Time
}

// FleetStatus is what translation and delivery know of an EnvoyFleet; false
// while it is not translated.
func (b Builder) FleetStatus(rev *graph.Revision, o FleetObject) (v1alpha1.EnvoyFleetStatus, bool) {
	s, ok := view{t: b.Translator, r: rev.Reader()}.fleetStatus(o)
	if f := fleetState(b.Envoys, o.Fleet); ok && f != nil {
		s.Envoys = count(f)
	}
	return s, ok
}

func (v view) fleetStatuses(b Builder) []Status {
	var out []Status
	for _, o := range b.Fleets {
		s, ok := v.fleetStatus(o)
		if !ok {
			continue
		}
		x := Status{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: fleetKind,
			Namespace: o.Object.Namespace, Name: o.Object.Name,
		}
		if f := fleetState(b.Envoys, o.Fleet); f != nil {
			s.Envoys = count(f)
			c := programmedCondition(f)
			c.ObservedGeneration = o.Object.Generation
			s.Conditions = append(s.Conditions, c)
			x.Programmed = b.programmed(rollout.EnvoyFleet, o.Fleet, []ir.Name{o.Fleet})
		}
		x.Status = s
		out = append(out, x)
	}
	return out
}

// fleetState is what the xDS server knows of a fleet, nil where nobody serves
// it.
func fleetState(s xds.State, fleet ir.Name) *xds.FleetState {
	for i := range s.Fleets {
		if s.Fleets[i].Fleet == fleet {
			return &s.Fleets[i]
		}
	}
	return nil
}

func count(f *xds.FleetState) *v1alpha1.EnvoyCounts {
	var out v1alpha1.EnvoyCounts
	for i := range f.Streams {
		out.Connected++
		if s := &f.Streams[i]; s.Acknowledged > 0 && s.Acknowledged >= f.Revision {
			out.Acknowledged++
		}
	}
	return &out
}

func (v view) fleetStatus(o FleetObject) (v1alpha1.EnvoyFleetStatus, bool) {
	out := v1alpha1.EnvoyFleetStatus{ObservedGeneration: o.Object.Generation}
	condition := func(status metav1.ConditionStatus, r reason.Reason, message string) {
		out.Conditions = append(out.Conditions, metav1.Condition{
			Type: string(reason.ConditionAccepted), Status: status, Reason: string(r), Message: message,
			ObservedGeneration: o.Object.Generation,
		})
	}
	if o.Fleet == (ir.Name{}) {
		condition(metav1.ConditionFalse, reason.Invalid,
			fmt.Sprintf("a folder has one fleet and EnvoyFleet %s shapes it: remove one of the two", o.Chosen))
		return out, true
	}
	s, ok := v.t.FleetStatuses.Get(v.r, o.Fleet)
	if !ok {
		err := v.t.FleetStatuses.Failure(v.r, o.Fleet)
		if err != nil {
			condition(metav1.ConditionFalse, reason.Invalid, err.Error())
		}
		return out, err != nil
	}
	if len(s.Problems) == 0 {
		condition(metav1.ConditionTrue, reason.Accepted, "the fleet is configured as asked")
	} else {
		condition(metav1.ConditionFalse, s.Problems[0].Reason, problems(s))
	}
	if k := s.ClientCertificate; k != nil {
		notAfter := metav1.NewTime(k.NotAfter)
		out.ClientCertificate = &v1alpha1.ClientCertificateStatus{
			Secret: k.Ref.String(), Fingerprint: k.Fingerprint, NotAfter: &notAfter,
		}
		if !o.ClientRenewal.IsZero() {
			out.ClientCertificate.RenewalTime = new(metav1.NewTime(o.ClientRenewal))
		}
	}
	return out, true
}

func problems(s *translator.FleetStatus) string {
	var out []string
	for i := range s.Problems {
		out = append(out, s.Problems[i].Message)
	}
	return strings.Join(out, "; ")
}

// AddProblems adds what a source could not read.
func (r *Report) AddProblems(list []source.Problem) {
	for i := range list {
		p := &list[i]
		r.Problems = append(r.Problems, Problem{
			File: p.File, Line: p.Line, Object: p.Object, Field: p.Field,
			Message: p.Message, Severity: string(p.Severity),
		})
	}
}

// addEnvoys adds the connected Envoys to their fleets.
func (r *Report) addEnvoys(s xds.State) {
	for _, f := range s.Fleets {
		i := slices.IndexFunc(r.Fleets, func(x Fleet) bool {
			return x.Namespace == f.Fleet.Namespace && x.Name == f.Fleet.Name
		})
		if i < 0 {
			continue
		}
		for j := range f.Streams {
			e := &f.Streams[j]
			r.Fleets[i].Envoys = append(r.Fleets[i].Envoys, Envoy{
				Node: e.Node, Acknowledged: e.Acknowledged, Ready: e.Ready > 0, Rejected: rejected(e),
			})
		}
	}
}

func rejected(e *xds.StreamState) []string {
	var out []string
	for _, x := range e.Rejected {
		out = append(out, fmt.Sprintf("%s %s: %s", shortType(x.Type), x.Name, x.Message))
	}
	return out
}

// shortType is the last part of a type URL.
func shortType(t envoy.Type) string { return string(t[strings.LastIndexByte(string(t), '.')+1:]) }

// AddResources adds every Envoy resource, keyed by the last part of its type.
func (b Builder) AddResources(r *Report, resources func(yield func(ir.Name, *envoy.Resource) bool)) error {
	r.Resources = map[string][]Resource{}
	for fleet, x := range resources {
		config, err := x.JSON()
		if err != nil {
			return fmt.Errorf("resource: %w", err)
		}
		kind := shortType(x.Type)
		r.Resources[kind] = append(r.Resources[kind], Resource{Fleet: fleet.String(), Name: x.Name, Config: config})
	}
	for k := range maps.Keys(r.Resources) {
		slices.SortFunc(r.Resources[k], func(a, b Resource) int {
			return cmp.Or(cmp.Compare(a.Fleet, b.Fleet), cmp.Compare(a.Name, b.Name))
		})
	}
	return nil
}

// Invalid reports whether an object is invalid or could not be read.
func (r *Report) Invalid() bool {
	if len(r.Withheld) > 0 {
		return true
	}
	if slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Severity == string(source.Error) }) {
		return true
	}
	return slices.ContainsFunc(r.Statuses, func(s Status) bool {
		switch st := s.Status.(type) {
		case contourv1.HTTPProxyStatus:
			return st.CurrentStatus != string(reason.StatusValid)
		case v1alpha1.EnvoyFleetStatus:
			return slices.ContainsFunc(st.Conditions, func(c metav1.Condition) bool { return c.Status == metav1.ConditionFalse })
		}
		return faulty(s.Status)
	})
}
