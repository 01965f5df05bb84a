package translator

import (
	"github.com/signetproxy/signet/translator/accesslog"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// fleetLog is what a fleet logs, and why that is not what it asks for.
type fleetLog struct {
	Log      *ir.AccessLog
	Problems []upstream.Problem
}

// declareAccessLogs keeps them apart from the fleets, which every site reads: a
// change of one touches the listeners alone.
func (t *Translator) declareAccessLogs() {
	names := graph.NewIndex(t.Fleets, "fleets that log", func(n ir.Name, _ *FleetSpec) []ir.Name { return []ir.Name{n} })
	t.accessLogs = graph.NewUnit(t.Graph, graph.UnitSpec[ir.Name, fleetLog]{
		Name: "access log", Live: []graph.Liveness[ir.Name]{names}, Compute: t.computeAccessLog,
	})
}

// computeAccessLog falls back to what was asked for before, else to the default:
// a log that is written otherwise than asked for is better than none.
func (t *Translator) computeAccessLog(r *graph.Reader, n ir.Name) (fleetLog, error) {
	spec, _ := t.Fleets.Get(r, n)
	log, faults := accesslog.Judge(spec.AccessLog)
	if len(faults) == 0 {
		return fleetLog{Log: log}, nil
	}
	var out fleetLog
	instead := "the default access log is written"
	if out.Log, _ = accesslog.Judge(accesslog.Settings{}); spec.FormerAccessLog != nil {
		if former, wrong := accesslog.Judge(*spec.FormerAccessLog); len(wrong) == 0 {
			out.Log, instead = former, "the access log stays as it was"
		}
	}
	for _, f := range faults {
		out.Problems = append(out.Problems, upstream.Problem{
			Reason: reason.AccessLogInvalid, Message: reason.FormatAccessLog.With(f, instead),
		})
	}
	return out, nil
}

func (t *Translator) accessLog(r *graph.Reader, fleet ir.Name) (*ir.AccessLog, error) {
	l, ok := t.accessLogs.Get(r, fleet)
	if !ok {
		return nil, unusable("access log of fleet "+fleet.String(), t.accessLogs.Failure(r, fleet))
	}
	return l.Log, nil
}

// logged is a listener with the access log of its fleet.
func (t *Translator) logged(r *graph.Reader, fleet ir.Name, l *ir.Listener) (*ir.Listener, error) {
	log, err := t.accessLog(r, fleet)
	if err != nil {
		return nil, err
	}
	out := *l
	out.AccessLog = log
	return &out, nil
}
