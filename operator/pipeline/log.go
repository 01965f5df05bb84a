package pipeline

import (
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/reason"
)

// logProblems says once of each problem of the source what it is, and when
// nothing is left of them. The lock is held.
func (p *Pipeline) logProblems(now []source.Problem) {
	known := map[source.Problem]bool{}
	for _, x := range p.problems {
		known[x] = true
	}
	for _, x := range now {
		if !known[x] {
			p.options.Log.Info(x.Message, "severity", x.Severity, "file", x.File, "line", x.Line, "object", x.Object, "field", x.Field)
		}
	}
	if len(now) == 0 && len(p.problems) > 0 {
		p.options.Log.Info("every document can be read again")
	}
}

// logStatuses says which objects became invalid, and which valid again.
func (p *Pipeline) logStatuses(rev *graph.Revision) {
	for _, c := range graph.ChangesOf(rev, p.translator.ProxyStatuses) {
		if !c.HasNew || c.Old.CurrentStatus == c.New.CurrentStatus && c.Old.Description == c.New.Description {
			continue
		}
		if c.New.CurrentStatus == string(reason.StatusValid) && !c.HadOld {
			continue
		}
		p.options.Log.Info("HTTPProxy "+c.New.CurrentStatus, "object", c.Key.String(),
			"description", c.New.Description, "errors", messages(&c.New))
	}
}

func messages(s *contourv1.HTTPProxyStatus) []string {
	var out []string
	for i := range s.Conditions {
		for _, e := range s.Conditions[i].Errors {
			out = append(out, e.Message)
		}
	}
	return out
}

// logWithheld says once of each unit that it has no value, and why.
func (p *Pipeline) logWithheld(rev *graph.Revision) {
	now := map[string]bool{}
	for _, f := range rev.Failures() {
		id := f.Table + " " + f.Key + ": " + f.Err.Error()
		if now[id] = true; !p.withheld[id] {
			p.options.Log.Error(f.Err, "a unit is withheld; all else is served", "unit", f.Table, "key", f.Key)
		}
	}
	p.withheld = now
}
