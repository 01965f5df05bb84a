package httpproxy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// listener returns the fleet's first listener of one kind.
func (c *composer) listener(tls bool) *ir.Listener {
	i := slices.IndexFunc(c.fleet.Listeners, func(l ir.Listener) bool { return l.TLS == tls })
	if i < 0 {
		return nil
	}
	return &c.fleet.Listeners[i]
}

func (c *composer) addHost(l *ir.Listener, origin ir.ObjectRef, routes []ir.Route) {
	host := ir.VirtualHost{
		Listener: l.Name, Host: c.site.Host, TLS: l.TLS, Routes: routes, Origin: origin,
		OneLabel: strings.HasPrefix(c.site.Host, "*."),
	}
	at, _ := slices.BinarySearchFunc(c.site.VirtualHosts, host,
		func(a, b ir.VirtualHost) int { return strings.Compare(a.Listener, b.Listener) })
	c.site.VirtualHosts = slices.Insert(c.site.VirtualHosts, at, host)
}

// hosts puts the routes onto the listeners; closed is why nothing is served.
func (c *composer) hosts(doc *Document, routes []placed, closed string) {
	plain, secure := c.listener(false), c.listener(true)
	if plain != nil {
		c.addHost(plain, doc.origin(), plainRoutes(routes, doc.tls != nil))
	}
	if doc.tls == nil {
		if plain == nil {
			c.missing(doc, "plaintext")
		}
		return
	}
	if secure == nil {
		c.missing(doc, "TLS")
		return
	}
	profile, ok := doc.tls.profile(secure.Profile)
	failure := doc.tls.failure
	switch {
	case !ok && closed != "":
		failure = closed
	case !ok:
		failure = fmt.Sprintf("Spec.VirtualHost.TLS: listener %q of fleet %q offers none of the protocol versions", secure.Name, c.fleet.Name)
		c.visit(doc.Name, Finding{Type: reason.TLSError, Reason: reason.TLSConfigNotValid, Message: failure})
	}
	certificate := doc.tls.certificate
	if failure != "" {
		certificate = nil
	}
	if closed == "" {
		closed = failure
	}
	if doc.tcp != nil || doc.tls.passthrough {
		c.tcp(doc, secure, certificate, profile, closed)
		return
	}
	if certificate != nil {
		c.site.Certificates = append(c.site.Certificates, ir.HostCertificate{
			Listener: secure.Name, Host: c.site.Host, Certificate: *certificate, Profile: profile,
			OwnChain: profile.Min != secure.Profile.Min || profile.Max != secure.Profile.Max,
		})
	}
	// Without its certificate the host still has routes: the handshake may
	// succeed with a wildcard's.
	list := []ir.Route{closedRoute(doc.origin(), closed)}
	if closed == "" {
		list = bare(routes)
	}
	c.addHost(secure, doc.origin(), list)
}

func (c *composer) missing(doc *Document, what string) {
	c.visit(doc.Name, Finding{Type: reason.ListenerError, Reason: reason.ErrorIdentifyingListener,
		Message: fmt.Sprintf("fleet %q has no %s listener for host %s", c.fleet.Name, what, c.site.Host)})
}

// profile narrows the listener's versions to those that the host asks for.
func (t *hostTLS) profile(listener ir.TLSProfile) (ir.TLSProfile, bool) {
	listener.Min = max(listener.Min, ir.TLS12, t.min)
	if listener.Max == "" {
		listener.Max = ir.TLS13
	}
	if t.max != "" {
		listener.Max = min(listener.Max, t.max)
	}
	return listener, listener.Min <= listener.Max
}

// bare leaves the routes alone.
func bare(in []placed) []ir.Route {
	if len(in) == 0 {
		return nil
	}
	out := make([]ir.Route, len(in))
	for i := range in {
		out[i] = in[i].route
	}
	return out
}

// plainRoutes are the routes of a plaintext listener: a host with TLS answers
// 301 there, but for routes that permit plaintext.
func plainRoutes(in []placed, tls bool) []ir.Route {
	out := bare(in)
	for i := range out {
		if tls && !in[i].insecure {
			out[i] = ir.Route{Name: out[i].Name, Match: out[i].Match, Origin: out[i].Origin,
				Redirect: &ir.Redirect{StatusCode: 301, HTTPS: true}}
		}
	}
	return out
}

// tcp serves the bytes of a TLS host. What is wrong refuses the connections.
func (c *composer) tcp(doc *Document, l *ir.Listener, certificate *ir.CertificateRef, profile ir.TLSProfile, closed string) {
	out := &ir.TCPRoute{Listener: l.Name, Host: c.site.Host, Certificate: certificate, Origin: doc.origin()}
	if certificate != nil {
		out.Profile = profile
	}
	end, failure := c.follow(doc)
	if closed != "" {
		failure = closed
	}
	if failure == "" {
		out.Origin = end.origin()
		out.Backends, failure = c.finishAll(end, place{}, end.tcp.backends)
	}
	if out.Failure = failure; failure != "" {
		out.Backends = nil
	}
	c.site.TCP = out
}

// follow walks the includes of TCP proxies to the one with services.
func (c *composer) follow(doc *Document) (end *Document, failure string) {
	if doc.tcp == nil {
		return doc, "Spec.VirtualHost.TLS: Passthrough without Spec.TCPProxy"
	}
	path := []ir.Name{doc.Name}
	for doc.tcp.include != nil {
		target := *doc.tcp.include
		next, ok := c.docs.Document(target)
		f := Finding{Type: reason.TCPProxyIncludeError}
		switch {
		case !ok:
			f.Reason, f.Message = reason.IncludeNotFound, reason.FormatIncludeNotFound.With(target.Namespace, target.Name)
		case next.Root:
			f.Reason, f.Message = reason.RootIncludesRoot, reason.FormatRootIncludesRoot.With(target.Namespace, target.Name)
		case !includable(c.class, next.Class):
			f = otherClass(reason.TCPProxyIncludeError, next)
		case slices.Contains(path, target), len(path) > maxDepth:
			f.Reason, f.Message = reason.IncludeCreatesCycle, reason.FormatTCPIncludeCycle.With(arrows(path, target))
		case next.tcp == nil:
			f.Type, f.Reason, f.Message = reason.TCPProxyError, reason.NothingDefined, string(reason.MessageTCPProxyNothing)
			c.visit(target, f)
			return next, f.Message
		}
		if f.Message != "" {
			c.visit(doc.Name, f)
			return doc, f.Message
		}
		c.visit(target)
		doc, path = next, append(path, target)
	}
	return doc, doc.tcp.failure
}
