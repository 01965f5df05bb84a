package event

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

const (
	// actionTranslate and actionUse are what Signet did when it found out.
	actionTranslate = "Translate"
	actionUse       = "Use"
	// lookInterval is the time between two looks for expiry.
	lookInterval = time.Minute
)

// Events tells. Set all fields but said.
type Events struct {
	Recorder   events.EventRecorder
	Translator *translator.Translator
	// Fleet is the object that asks for a fleet; nil when it has gone.
	Fleet func(ir.Name) runtime.Object
	Now   func() time.Time

	said map[use]told
}

// Refused tells the objects of a refusal, or that of the fleet where it is the
// fleet's own. It may be quarantine.Options.Event.
func (e *Events) Refused(x quarantine.Event) {
	tell := func(o runtime.Object) {
		if o != nil {
			e.Recorder.Eventf(o, nil, corev1.EventTypeWarning, string(x.Reason), actionTranslate, "%s", x.Message)
		}
	}
	if len(x.Objects) == 0 {
		tell(e.Fleet(x.Fleet))
	}
	r := e.Translator.Current().Reader()
	for _, ref := range x.Objects {
		tell(e.find(r, ref))
	}
}

// Run tells of certificates that are about to expire, until ctx ends. It begins
// anew each time that it is called.
func (e *Events) Run(ctx context.Context) error {
	e.said = map[use]told{}
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		e.look()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// look tells what has passed a threshold since the last look.
func (e *Events) look() {
	r, now := e.Translator.Current().Reader(), e.Now()
	seen := map[use]told{}
	note := func(u use, notBefore, notAfter time.Time) {
		is := told{notAfter, passed(now, notBefore, notAfter)}
		seen[u] = is
		if is.threshold == none || e.said[u] == is {
			return
		}
		if o := e.holder(r, &u); o != nil {
			e.Recorder.Eventf(o, nil, corev1.EventTypeWarning, string(reason.CertificateExpires), actionUse, "%s", u.message(now, notAfter))
		}
	}
	for ref, k := range e.Translator.KeyPairs.All(r) {
		if k.Value != nil {
			note(use{kind: ir.TrustSecret, name: ir.Name{Namespace: ref.Namespace, Name: ref.Name.Name}}, k.Value.NotBefore, k.Value.NotAfter)
		}
	}
	for ref, b := range e.Translator.Trust.All(r) {
		if b.Value == nil {
			continue
		}
		var last ir.CertificateAuthority
		for _, a := range b.Value.CAs {
			if a.NotAfter.After(last.NotAfter) {
				last = a
			}
		}
		if !last.NotAfter.IsZero() {
			note(use{ref.Kind, ir.Name{Namespace: ref.Namespace, Name: ref.Name.Name}, true}, last.NotBefore, last.NotAfter)
		}
	}
	e.said = seen
}

// holder is the object that a certificate is in; nil when it has gone.
func (e *Events) holder(r *graph.Reader, u *use) runtime.Object {
	switch u.kind {
	case ir.TrustSecret:
		return found(e.Translator.Secrets, r, u.name)
	case ir.TrustConfigMap:
		return found(e.Translator.ConfigMaps, r, u.name)
	default:
		return nil
	}
}

// find is the object of a reference; nil when it has gone.
func (e *Events) find(r *graph.Reader, ref ir.ObjectRef) runtime.Object {
	t := e.Translator
	switch ref.Kind {
	case gatewayapi.KindGateway:
		return found(t.Gateways, r, ref.Name)
	case gatewayapi.KindHTTPRoute:
		return found(t.HTTPRoutes, r, ref.Name)
	case gatewayapi.KindGRPCRoute:
		return found(t.GRPCRoutes, r, ref.Name)
	case gatewayapi.KindTLSRoute:
		return found(t.TLSRoutes, r, ref.Name)
	case gatewayapi.KindTCPRoute:
		return found(t.TCPRoutes, r, ref.Name)
	case gatewayapi.KindUDPRoute:
		return found(t.UDPRoutes, r, ref.Name)
	case gatewayapi.KindListenerSet:
		return found(t.ListenerSets, r, ref.Name)
	case httpproxy.Kind:
		return found(t.Proxies, r, ref.Name)
	default:
		return nil
	}
}

// found is a row of an input as an object, without a typed nil.
func found[T runtime.Object](in *graph.Input[ir.Name, T], r *graph.Reader, n ir.Name) runtime.Object {
	if o, ok := in.Get(r, n); ok {
		return o
	}
	return nil
}
