package pipeline

import (
	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/accesslog"
	"github.com/signetproxy/signet/translator/ir"
)

// AccessLog is what an EnvoyFleet asks its Envoys to log.
func AccessLog(o *v1alpha1.EnvoyFleet) accesslog.Settings {
	l := &o.Spec.AccessLog
	out := accesslog.Settings{
		Disabled: l.Enabled != nil && !*l.Enabled,
		Stderr:   l.Output == v1alpha1.AccessLogStderr,
		JSON:     l.Format == v1alpha1.AccessLogJSON,
		Text:     l.Text, Fields: l.JSON,
	}
	switch l.Filter {
	case v1alpha1.AccessLogErrors:
		out.Only = ir.LogErrors
	case v1alpha1.AccessLogStatus:
		out.Only = ir.LogStatus
		if l.MinimumStatus != nil {
			out.MinimumStatus = *l.MinimumStatus
		}
	case v1alpha1.AccessLogAll:
	}
	return out
}

// formerLogs are the last access logs of fleets that Envoy would take: a wrong
// one must not end that which there is. What was asked for before a start is not
// known.
type formerLogs map[ir.Name]*accesslog.Settings

func (f formerLogs) follow(s *translator.FleetSpec) {
	if _, faults := accesslog.Judge(s.AccessLog); len(faults) == 0 {
		f[s.Name] = &s.AccessLog
		return
	}
	s.FormerAccessLog = f[s.Name]
}
