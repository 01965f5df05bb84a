package httpproxy

import (
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/translator/reason"
)

// Status is the status of one object from its claim, its document, the sites
// that it takes part in, and what happened to them later (extra). Any but p may
// be nil. An object that no fleet serves has the zero status: it is another
// controller's to write. Times and the load balancer are left to the writer.
//
// The description is Contour's, with one exception: when every error is about
// a CA that cannot be used, it is the first of them, with route and service.
// The errors name route and service in front of Contour's words, so that each
// route that fails has one of its own.
func Status(p *contourv1.HTTPProxy, c *Claim, d *Document, visits []Visit, extra []Finding) contourv1.HTTPProxyStatus {
	if c == nil || (!c.Ours && len(visits) == 0) {
		return contourv1.HTTPProxyStatus{}
	}
	v := verdict{condition: contourv1.DetailedCondition{Condition: metav1.Condition{
		Type: string(reason.ConditionValid), Status: metav1.ConditionTrue, ObservedGeneration: p.Generation,
		Reason: string(reason.Valid), Message: string(reason.MessageValid),
	}}}
	current := reason.StatusInvalid
	switch {
	case len(c.Findings) > 0: // it has no host: the rest would not matter
		v.add(c.Findings)
	case p.Spec.VirtualHost == nil && len(visits) == 0:
		current = reason.StatusOrphaned
		v.add([]Finding{{Type: reason.OrphanedError, Reason: reason.Orphaned, Message: string(reason.MessageOrphaned)}})
	default:
		if d != nil {
			v.add(d.Findings)
		}
		for i := range visits {
			v.add(visits[i].Findings)
		}
	}
	v.add(extra)
	out := contourv1.HTTPProxyStatus{
		CurrentStatus: string(current), Description: v.condition.Message,
		Conditions: []contourv1.DetailedCondition{v.condition},
	}
	switch {
	case len(v.condition.Errors) == 0:
		out.CurrentStatus = string(reason.StatusValid)
	case current == reason.StatusOrphaned:
		out.Description = string(reason.MessageOrphaned)
	case v.described && v.description != "":
		out.Description = v.description
	}
	return out
}

// verdict is a Valid condition in the making.
type verdict struct {
	condition contourv1.DetailedCondition
	// description is that of the first error, described whether all have one.
	description string
	described   bool
	seen        map[entry]bool
}

// entry is what makes a finding the same to a reader.
type entry struct {
	severity Severity
	class    reason.ErrorType
	reason   reason.Reason
	text     string
}

func (v *verdict) add(findings []Finding) {
	for i := range findings {
		f := &findings[i]
		text := f.Text()
		e := entry{f.Severity, f.Type, f.Reason, text}
		if v.seen[e] {
			continue
		}
		if v.seen == nil {
			v.seen = map[entry]bool{}
		}
		v.seen[e] = true
		if f.Severity == Warning {
			v.condition.AddWarning(string(f.Type), string(f.Reason), text)
			continue
		}
		if len(v.condition.Errors) == 0 {
			v.description, v.described = f.Description, true
		}
		v.described = v.described && f.Description != ""
		v.condition.AddError(string(f.Type), string(f.Reason), text)
	}
}
