package httpproxy

import (
	"fmt"
	"math"
	"strconv"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// tcpInclude returns the include of a TCP proxy, under its old name too.
func tcpInclude(p *contourv1.TCPProxy) *contourv1.TCPProxyInclude {
	if p.Include != nil {
		return p.Include
	}
	return p.IncludesDeprecated
}

// tcpProxy translates the tcpproxy block. Unlike a route it has no fail-closed
// answer: connections are refused.
func (t *translation) tcpProxy() {
	p := t.spec.TCPProxy
	if p == nil {
		return
	}
	t.doc.tcp = &tcpProxy{}
	in := tcpInclude(p)
	switch {
	case t.doc.Root && t.spec.VirtualHost.TLS == nil:
		t.failTCP(reason.TLSMustBeConfigured, string(reason.MessageTLSMustBeConfigured))
	case len(p.Services) > 0 && in != nil:
		t.failTCP(reason.NoServicesAndInclude, string(reason.MessageNoServicesAndInclude))
	case len(p.Services) == 0 && in == nil:
		t.failTCP(reason.NothingDefined, string(reason.MessageTCPProxyNothing))
	case in != nil:
		target := t.target(in.Name, in.Namespace)
		t.doc.tcp.include = &target
	default:
		t.tcpServices(p)
	}
}

func (t *translation) failTCP(why reason.Reason, message string) {
	t.find(Finding{Type: reason.TCPProxyError, Reason: why, Message: message})
	t.shutTCP(message)
}

func (t *translation) failTCPService(s *contourv1.Service, f Finding) {
	f.Place = place{}.service(s.Name)
	t.find(f)
	t.shutTCP(f.Text())
}

// shutTCP refuses the connections; the first reason stays.
func (t *translation) shutTCP(failure string) {
	if t.doc.tcp.failure == "" {
		t.doc.tcp.failure = failure
	}
}

func (t *translation) tcpServices(p *contourv1.TCPProxy) {
	health, err := parseTCPHealthCheck(p.HealthCheckPolicy)
	if err != nil {
		t.failTCP(reason.HealthCheckPolicyInvalid, err.Error())
		return
	}
	policy := t.tcpBalancing(p.LoadBalancerPolicy)
	var sum int64
	for i := range p.Services {
		s := &p.Services[i]
		at := "spec.tcpproxy.services[" + strconv.Itoa(i) + "]"
		findings, _ := check(unsupportedTCP, s, at, "a TCP proxy knows no HTTP", "connections are closed")
		t.findAt(place{}.service(s.Name), findings)
		if s.Mirror {
			t.find(Finding{Type: reason.TCPProxyError, Reason: reason.MirrorNotSupported, Place: place{}.service(s.Name),
				Message: fmt.Sprintf("field %q is not supported: the service is left out", at+".mirror")})
			continue
		}
		if s.Weight < 0 || s.Weight > math.MaxUint32 || sum+s.Weight > math.MaxUint32 {
			t.failTCPService(s, Finding{Type: reason.TCPProxyError, Reason: reason.WeightNotValid, Message: wrongWeight(s.Weight)})
			continue
		}
		sum += s.Weight
		t.tcpService(s, at, policy, health)
	}
	if sum == 0 {
		for i := range t.doc.tcp.backends {
			t.doc.tcp.backends[i].Weight = 1
		}
	}
	if t.doc.tcp.failure == "" && len(t.doc.tcp.backends) == 0 {
		t.failTCP(reason.NothingDefined, string(reason.MessageTCPProxyNothing))
	}
	if t.doc.tcp.failure != "" {
		t.doc.tcp.backends = nil
	}
}

func (t *translation) tcpBalancing(p *contourv1.LoadBalancerPolicy) ir.LoadBalancerPolicy {
	b := parseBalancing(p)
	if len(b.hash) > 0 {
		t.find(Finding{Severity: Warning, Type: reason.TCPProxyError, Reason: reason.IgnoredField,
			Message: fmt.Sprintf("ignoring field %q; %s load balancer policy is not supported for TCPProxies",
				"Spec.TCPProxy.LoadBalancerPolicy", p.Strategy)})
		return ir.RoundRobin
	}
	for _, w := range b.warnings {
		t.find(Finding{Severity: Warning, Type: reason.TCPProxyError, Reason: reason.IgnoredField, Message: w})
	}
	return b.policy
}

func (t *translation) tcpService(s *contourv1.Service, at string, policy ir.LoadBalancerPolicy, health *ir.HealthCheck) {
	slow, err := parseSlowStart(s.SlowStartPolicy, policy)
	if err != nil {
		t.failTCPService(s, Finding{Type: reason.ServiceError, Reason: reason.SlowStartInvalid, Message: err.Error()})
		return
	}
	u, p := t.decide(s, at, place{}, &upstream.Request{
		TCP: true, LoadBalancer: ir.LoadBalancer{Policy: policy}, HealthCheck: health, SlowStart: slow,
	})
	if p == nil {
		t.doc.tcp.backends = append(t.doc.tcp.backends, ir.Backend{Upstream: u, Weight: weight(s)})
		return
	}
	f := Finding{Type: p.Type, Reason: p.Category, Message: p.Message}
	if p.Description != "" {
		f.Description = reason.FormatTCPService.With(s.Name, p.Description)
	}
	t.failTCPService(s, f)
}
