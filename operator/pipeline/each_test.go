package pipeline

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/accesslog"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// A Gateway of a class of Signet's is a fleet, in the shape that it or its class
// names; it is made anew when any of the three changes, and only then.
func TestEachGatewayIsAFleet(t *testing.T) {
	var made []string
	f := newEachFleet(
		func(*v1alpha1.EnvoyFleet) translator.FleetSpec { return translator.FleetSpec{} },
		func(g *gatewayv1.Gateway, shape *v1alpha1.EnvoyFleet) translator.FleetSpec {
			by := "nobody"
			if shape != nil {
				by = shape.Name
			}
			made = append(made, g.Name+" by "+by)
			return translator.FleetSpec{Name: ir.Name{Namespace: g.Namespace, Name: "gateway/" + g.Name}}
		})
	inputs := translator.New()
	step := func(what string, want []string, fleets ...string) {
		t.Helper()
		c := graph.NewChanges()
		f.apply(c, &inputs.Inputs, time.Now())
		rev := inputs.Commit(c)
		slices.Sort(made)
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("%s: made (-want, +got):\n%s", what, diff)
		}
		made = nil
		var got []string
		for n := range inputs.Fleets.All(rev.Reader()) {
			got = append(got, n.Name)
		}
		if diff := cmp.Diff(fleets, got); diff != "" {
			t.Errorf("%s: fleets (-want, +got):\n%s", what, diff)
		}
	}
	gateway := func(name, class, shape string, generation int64) {
		g := &gatewayv1.Gateway{ObjectMeta: meta(name)}
		g.Generation, g.Spec.GatewayClassName = generation, gatewayv1.ObjectName(class)
		if shape != "" {
			g.Spec.Infrastructure = &gatewayv1.GatewayInfrastructure{ParametersRef: &gatewayv1.LocalParametersReference{Name: shape}}
		}
		f.gateway(ir.Name{Namespace: "default", Name: name}, g)
	}
	class := func(name, controller, shape string) {
		c := &gatewayv1.GatewayClass{}
		c.Name, c.Spec.ControllerName = name, gatewayv1.GatewayController(controller)
		if shape != "" {
			c.Spec.ParametersRef = &gatewayv1.ParametersReference{Namespace: new(gatewayv1.Namespace("default")), Name: shape}
		}
		f.class(name, c)
	}
	fleet := func(name string, generation int64) {
		o := &v1alpha1.EnvoyFleet{ObjectMeta: meta(name)}
		o.Generation = generation
		f.put(ir.Name{Namespace: "default", Name: name}, o)
	}
	gateway("a", "ours", "", 1)
	gateway("b", "ours", "own", 1)
	gateway("c", "theirs", "", 1)
	step("no class yet", nil)
	class("ours", string(gatewayapi.ControllerName), "shared")
	class("theirs", "example.com/other", "")
	step("a class of ours", []string{"a by nobody", "b by nobody"}, "gateway/a", "gateway/b")
	fleet("shared", 1)
	step("the class's shape", []string{"a by shared"}, "gateway/a", "gateway/b", "shared")
	fleet("own", 1)
	step("the Gateway's own shape", []string{"b by own"}, "gateway/a", "gateway/b", "own", "shared")
	fleet("own", 1)
	gateway("a", "ours", "", 1)
	step("nothing has changed but statuses", nil, "gateway/a", "gateway/b", "own", "shared")
	gateway("a", "ours", "own", 2)
	step("another shape", []string{"a by own"}, "gateway/a", "gateway/b", "own", "shared")
	class("ours", "example.com/other", "")
	f.remove(ir.Name{Namespace: "default", Name: "shared"})
	step("the class is another's", nil, "own")
	class("ours", string(gatewayapi.ControllerName), "")
	step("and ours again", []string{"a by own", "b by own"}, "gateway/a", "gateway/b", "own")
	f.gateway(ir.Name{Namespace: "default", Name: "b"}, nil)
	f.class("ours", nil)
	step("gone", nil, "own")
	if len(f.made) != 0 {
		t.Errorf("made: %v, want none", slices.Collect(maps.Keys(f.made)))
	}
}

// An access log that Envoy would refuse does not end the one before, and nothing
// is known of those before the start.
func TestFormerAccessLog(t *testing.T) {
	logs := formerLogs{}
	step := func(text string, want *accesslog.Settings) {
		t.Helper()
		s := translator.FleetSpec{Name: ir.Name{Namespace: "a", Name: "edge"}, AccessLog: accesslog.Settings{Text: text}}
		logs.follow(&s)
		if diff := cmp.Diff(want, s.FormerAccessLog); diff != "" {
			t.Errorf("after %q (-want, +got):\n%s", text, diff)
		}
	}
	step("%NOPE%", nil)
	step("first", nil)
	step("%NOPE%", &accesslog.Settings{Text: "first"})
	step("%STILL%", &accesslog.Settings{Text: "first"})
	step("second", nil)
	step("%NOPE%", &accesslog.Settings{Text: "second"})
}

// The xDS server forgets a fleet that is deleted; its Envoys serve on until they are
// removed.
func TestAFleetThatIsDeletedIsGone(t *testing.T) {
	p := New(Options{Each: func(*v1alpha1.EnvoyFleet) translator.FleetSpec { return base() }})
	o := &v1alpha1.EnvoyFleet{ObjectMeta: meta("edge")}
	o.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(fleetKind))
	fleet := ir.Name{Namespace: "default", Name: "edge"}
	gone := func(b source.Batch) (fleets map[ir.Name]bool, told int) {
		rev := p.Once(b, time.Now())
		u := p.update(rev)
		fleets = map[ir.Name]bool{}
		for i := range u.Fleets {
			fleets[u.Fleets[i].Fleet] = u.Fleets[i].Gone
		}
		return fleets, len(rollout.CommitOf(p.translator, rev, &u, time.Now()).Fleets)
	}
	if got, told := gone(source.Batch{Changed: []client.Object{o}}); len(got) != 1 || got[fleet] || told != 1 {
		t.Fatalf("made: %v, %d told", got, told)
	}
	if got, told := gone(source.Batch{Deleted: []source.Key{source.KeyOf(o)}}); len(got) != 1 || !got[fleet] || told != 0 {
		t.Errorf("deleted: gone %v, and %d fleets are waited for", got, told)
	}
	if got, told := gone(source.Batch{Changed: []client.Object{o}}); len(got) != 1 || got[fleet] || told != 1 {
		t.Errorf("made again: %v, %d told", got, told)
	}
}
