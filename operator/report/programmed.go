package report

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Programmed is how far the newest state of an object has come. It is programmed
// when Acknowledged equals Envoys and there are any.
type Programmed struct {
	// Revision holds the newest state of the object.
	Revision uint64 `json:"revision"`
	// Acknowledged of the Envoys that are connected now, of the fleets that the
	// object concerns, have acknowledged that revision.
	Acknowledged int `json:"acknowledged"`
	Envoys       int `json:"envoys"`
	// Since is when the source delivered that state.
	Since time.Time `json:"since"`
}

// programmed is nil where nobody follows the object.
func (b Builder) programmed(kind rollout.Kind, n ir.Name, fleets []ir.Name) *Programmed {
	if b.Rollout == nil {
		return nil
	}
	p, ok := b.Rollout.Progress(rollout.Object{Kind: kind, Name: n}, fleets)
	if !ok {
		return nil
	}
	return &Programmed{Revision: p.Revision, Acknowledged: p.Acknowledged, Envoys: p.Envoys, Since: p.Since.UTC()}
}

// text is "programmed 2/2, revision 17", or "programmed 0/2 since 3s, revision 17".
func (p *Programmed) text(now time.Time) string {
	switch {
	case p.Envoys == 0:
		return fmt.Sprintf("no Envoy is connected, revision %d", p.Revision)
	case p.Acknowledged < p.Envoys:
		return fmt.Sprintf("programmed %d/%d since %s, revision %d",
			p.Acknowledged, p.Envoys, age(now.Sub(p.Since)), p.Revision)
	default:
		return fmt.Sprintf("programmed %d/%d, revision %d", p.Acknowledged, p.Envoys, p.Revision)
	}
}

// age is rounded to what a person wants to know.
func age(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// programmedCondition says whether every connected Envoy of a fleet has
// acknowledged its newest revision.
func programmedCondition(f *xds.FleetState) metav1.Condition {
	acknowledged, rejected := 0, 0
	for i := range f.Streams {
		if s := &f.Streams[i]; s.Acknowledged > 0 && s.Acknowledged >= f.Revision {
			acknowledged++
		} else if len(s.Rejected) > 0 {
			rejected++
		}
	}
	out := metav1.Condition{Type: string(reason.ConditionProgrammed), Status: metav1.ConditionFalse, Reason: string(reason.Pending)}
	out.Message = fmt.Sprintf("%d/%d connected Envoys have acknowledged revision %d", acknowledged, len(f.Streams), f.Revision)
	switch {
	case len(f.Streams) == 0:
		out.Status, out.Reason = metav1.ConditionUnknown, string(reason.NoEnvoys)
		out.Message = "no Envoy is connected"
	case acknowledged == len(f.Streams):
		out.Status, out.Reason = metav1.ConditionTrue, string(reason.Programmed)
	case rejected > 0:
		out.Reason = string(reason.Rejected)
		out.Message += fmt.Sprintf("; %d refuse a part of it", rejected)
	}
	return out
}
