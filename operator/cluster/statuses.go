package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	fleets "github.com/signetproxy/signet/operator/controller"
	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/status"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// lookAtEnvoys is how often acknowledgements are looked at for the counts in
// the status of fleets.
const lookAtEnvoys = time.Second

// reconnecting is how long, from the begin of a term, Envoys that the status counts
// and that no replica sees are taken to be on their way back: those of a replica
// that has ended try again within seconds.
const reconnecting = 15 * time.Second

// statuses joins what translation, delivery and provisioning know of an object
// to the status that is written.
type statuses struct {
	options  status.Options
	pipeline *pipeline.Pipeline
	xds      *xds.Server
	peers    *peers

	mu sync.Mutex
	// outcomes are those of this term; nil is that of a fleet that is gone.
	outcomes map[ir.Name]*fleets.Outcome
	// gateways are the outcomes of Gateways, in this term, and progress what became
	// of the generations of those.
	gateways map[ir.Name]*fleets.Outcome
	progress map[ir.Name]*progress
	sets     map[ir.Name]*judged
	bundle   atomic.Pointer[bundle]
	// term is when this replica began to lead.
	term atomic.Pointer[time.Time]
	// writer is that of the term in which this replica leads; nil in between.
	writer atomic.Pointer[status.Writer]
}

func newStatuses(c client.Client, r client.Reader, log logr.Logger) *statuses {
	s := &statuses{
		outcomes: map[ir.Name]*fleets.Outcome{}, gateways: map[ir.Name]*fleets.Outcome{}, progress: map[ir.Name]*progress{},
		sets: map[ir.Name]*judged{},
	}
	s.bundle.Store(&bundle{err: errNotRead})
	s.options = status.Options{Client: c, Reader: r, HTTPProxy: s.proxy, EnvoyFleet: s.fleet, Gateway: s.ofGatewayAPI, Log: log}
	return s
}

// serve names where statuses come from; it is called before anything runs.
func (s *statuses) serve(p *pipeline.Pipeline, x *xds.Server, others *peers) {
	s.pipeline, s.xds, s.peers = p, x, others
}

// begin forgets what an earlier term has seen, before the controllers of a new one
// see anything: the objects may have changed in between.
func (s *statuses) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.outcomes)
	clear(s.gateways)
}

// run writes while this replica leads, for one term. At first everything is
// looked at: nothing is written that is right.
func (s *statuses) run(ctx context.Context) error {
	w := status.New(s.options)
	s.term.Store(new(time.Now()))
	if now := s.readBundle(ctx); now.err == nil {
		s.bundle.Store(&now)
	}
	s.writer.Store(w)
	defer s.writer.Store(nil)
	s.peers.refresh(ctx) // or the first statuses would be wrong
	defer s.peers.forget()
	s.touchAll()
	go s.watchBundle(ctx)
	go s.watchEnvoys(ctx)
	return w.Run(ctx)
}

// touch has an object looked at, if this replica leads.
func (s *statuses) touch(k status.Kind, n ir.Name) {
	if w := s.writer.Load(); w != nil {
		w.Touch(k, n)
	}
}

// touchLater has an object looked at once it is left alone: one of which only
// numbers have changed, or of which others have written the status.
func (s *statuses) touchLater(k status.Kind, n ir.Name) {
	if w := s.writer.Load(); w != nil {
		w.TouchSettled(k, n)
	}
}

func (s *statuses) touchAll() {
	t := s.pipeline.Translator()
	r := t.Current().Reader()
	for n := range t.ProxyStatuses.All(r) {
		s.touch(status.HTTPProxy, n)
	}
	for n := range t.Fleets.All(r) {
		s.touch(status.EnvoyFleet, n)
	}
	eachGateway(t, r, s.touch)
	s.eachSet(s.touch)
}

// committed looks at what a revision has changed.
func (s *statuses) committed(rev *graph.Revision) {
	s.follow(rev)
	s.noteSets(rev)
	eachChange(s.pipeline.Translator(), rev, s.touch, s.touchLater)
}

// settled takes what became of a fleet's objects.
func (s *statuses) settled(n ir.Name, o *fleets.Outcome) {
	s.mu.Lock()
	before, looked := s.outcomes[n]
	if o != nil && o.Err != nil && before != nil && !o.Seen {
		o = unknown(o, before)
	}
	s.outcomes[n] = o
	s.mu.Unlock()
	s.touch(status.EnvoyFleet, n)
	was, knew := balancer(before, looked)
	is, knows := balancer(o, true)
	if knew != knows || !equality.Semantic.DeepEqual(was, is) {
		t := s.pipeline.Translator()
		for p := range t.ProxyStatuses.All(t.Current().Reader()) {
			s.touch(status.HTTPProxy, p)
		}
	}
}

// balancer is the load balancer of a fleet, and whether it is known: a look that
// failed has not seen that there is none.
func balancer(o *fleets.Outcome, looked bool) (corev1.LoadBalancerStatus, bool) {
	if o == nil {
		return corev1.LoadBalancerStatus{}, looked
	}
	return o.LoadBalancer, o.Seen || len(o.LoadBalancer.Ingress) > 0
}

// unknown is the outcome of a look that failed: what could not be seen is as it
// was, for all that is known.
func unknown(o, before *fleets.Outcome) *fleets.Outcome {
	out := *before
	out.Generation, out.Err = o.Generation, o.Err
	return &out
}

// watchEnvoys looks at the fleets whose Envoys came, went or acknowledged.
func (s *statuses) watchEnvoys(ctx context.Context) {
	last := map[ir.Name]envoyCount{}
	ticker := time.NewTicker(lookAtEnvoys)
	defer ticker.Stop()
	over := time.After(reconnecting)
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-over:
			all = true
		case <-ticker.C:
		}
		s.touchWaiting()
		s.peers.refresh(ctx)
		for _, f := range s.pipeline.Fleets() {
			if now := s.envoys(f.Fleet); all || last[f.Fleet] != now {
				last[f.Fleet] = now
				s.touch(status.EnvoyFleet, f.Fleet)
			}
		}
	}
}

// envoys counts the Envoys of a fleet, at all replicas.
func (s *statuses) envoys(n ir.Name) envoyCount {
	state := s.xds.State()
	out, others := tallyOf("", &state).Fleets[n.String()], s.peers.count(n)
	return envoyCount{out.Connected + others.Connected, out.Acknowledged + others.Acknowledged}
}

// proxy is the status of an HTTPProxy: the translation's, and the addresses of
// the first fleet that serves it and has some. Those that it has stay while such a
// fleet was not seen in this term.
func (s *statuses) proxy(n ir.Name) (contourv1.HTTPProxyStatus, bool) {
	t := s.pipeline.Translator()
	r := t.Current().Reader()
	out, ok := t.ProxyStatuses.Get(r, n)
	if !ok || out.CurrentStatus == "" {
		return out, false
	}
	p, ok := t.Proxies.Get(r, n)
	if !ok {
		return out, false
	}
	var selectors []httpproxy.Selector
	for _, f := range t.Fleets.All(r) {
		if f.ServesProxies() {
			selectors = append(selectors, f.Selector)
		}
	}
	serving := httpproxy.Serving(p, selectors)
	now, known := s.balancer(serving)
	if !known {
		if has := s.hasBalancer(n); len(has.Ingress) > 0 {
			now = has
		}
	}
	out.LoadBalancer = now
	return out, true
}

// balancer is that of the first of some fleets that has one, and whether all before
// it are known to have none.
func (s *statuses) balancer(of []ir.Name) (corev1.LoadBalancerStatus, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := true
	for _, f := range of {
		o, looked := s.outcomes[f]
		now, known := balancer(o, looked)
		all = all && known
		if len(now.Ingress) > 0 {
			return now, all
		}
	}
	return corev1.LoadBalancerStatus{}, all
}

// hasBalancer is what the status of an HTTPProxy says as it is in the API server.
func (s *statuses) hasBalancer(n ir.Name) corev1.LoadBalancerStatus {
	have := &contourv1.HTTPProxy{}
	if err := s.options.Reader.Get(context.Background(), client.ObjectKey{Namespace: n.Namespace, Name: n.Name}, have); err != nil {
		return corev1.LoadBalancerStatus{} // the writer reads it again, and says why it cannot
	}
	return have.Status.LoadBalancer
}

// fleet is the status of an EnvoyFleet. Nothing is written before it was translated
// and its objects were looked at: a leader that has just taken over knows less than
// the status.
func (s *statuses) fleet(n ir.Name) (v1alpha1.EnvoyFleetStatus, bool) {
	s.mu.Lock()
	o := s.outcomes[n]
	s.mu.Unlock()
	b := report.Builder{Translator: s.pipeline.Translator()}
	rev := b.Translator.Current()
	if o == nil {
		return v1alpha1.EnvoyFleetStatus{}, false
	}
	b.Envoys = s.xds.State()
	for _, f := range s.pipeline.Fleets() {
		if f.Fleet != n {
			continue
		}
		status, ok := b.FleetStatus(rev, f)
		if !ok {
			return v1alpha1.EnvoyFleetStatus{}, false
		}
		count := s.envoys(n)
		if term := s.term.Load(); term != nil {
			count = counted(count, s.written(n), time.Since(*term))
		}
		return join(status, o, count), true
	}
	return v1alpha1.EnvoyFleetStatus{}, false
}

// written is the count in the status of a fleet as it is in the API server.
func (s *statuses) written(n ir.Name) envoyCount {
	have := &v1alpha1.EnvoyFleet{}
	err := s.options.Reader.Get(context.Background(), client.ObjectKey{Namespace: n.Namespace, Name: n.Name}, have)
	if err != nil || have.Status.Envoys == nil {
		return envoyCount{} // the writer reads it again, and says why it cannot
	}
	return envoyCount{have.Status.Envoys.Connected, have.Status.Envoys.Acknowledged}
}

// counted is what a status says of the Envoys that are seen: no less than is
// written, as long as those may be on their way back. A restart writes nothing.
func counted(seen, written envoyCount, term time.Duration) envoyCount {
	if term >= reconnecting {
		return seen
	}
	return envoyCount{max(seen.Connected, written.Connected), max(seen.Acknowledged, written.Acknowledged)}
}

// join adds what provisioning knows to what translation and delivery know.
func join(out v1alpha1.EnvoyFleetStatus, o *fleets.Outcome, n envoyCount) v1alpha1.EnvoyFleetStatus {
	out.Envoys = &v1alpha1.EnvoyCounts{
		Desired: o.Progress.Desired, Ready: o.Progress.Ready, Connected: n.Connected, Acknowledged: n.Acknowledged,
	}
	out.Addresses = o.Addresses
	if out.ClientCertificate != nil && !o.ClientRenewal.IsZero() {
		out.ClientCertificate.RenewalTime = new(metav1.NewTime(o.ClientRenewal))
	}
	add := func(c reason.ConditionType, is bool, r reason.Reason, message string) {
		state := metav1.ConditionFalse
		if is {
			state = metav1.ConditionTrue
		}
		out.Conditions = append(out.Conditions, metav1.Condition{
			Type: string(c), Status: state, Reason: string(r), Message: message, ObservedGeneration: o.Generation,
		})
	}
	switch {
	case o.Err != nil:
		add(reason.ConditionProvisioned, false, reason.ProvisioningFailed, o.Err.Error())
	case o.Waiting:
		add(reason.ConditionProvisioned, false, reason.Pending, "the former workload serves on until the new one is complete")
	default:
		add(reason.ConditionProvisioned, true, reason.Provisioned, "the fleet's objects are as wanted")
	}
	switch n := out.Envoys; {
	case n.Connected == 0:
		add(reason.ConditionProgrammed, false, reason.NoEnvoys, "no Envoy is connected")
	case n.Acknowledged == 0:
		add(reason.ConditionProgrammed, false, reason.Pending, "no connected Envoy has acknowledged the newest configuration")
	default:
		add(reason.ConditionProgrammed, true, reason.Programmed, "Envoys serve the newest configuration")
	}
	return out
}
