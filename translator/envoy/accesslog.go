package envoy

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/signetproxy/signet/translator/ir"
)

// accessLog is what a connection manager, a TCP proxy or a UDP proxy logs. What
// has no HTTP status is flagged where something went wrong with it, so stream
// says that a status is not looked for.
func accessLog(l *ir.AccessLog, stream bool) ([]*accesslogv3.AccessLog, error) {
	if l == nil {
		return nil, nil
	}
	out := &accesslogv3.AccessLog{Name: "envoy.access_loggers.stdout", Filter: logFilter(l, stream)}
	var sink message = &streamv3.StdoutAccessLog{
		AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: logFormat(l)},
	}
	if l.Stderr {
		out.Name = "envoy.access_loggers.stderr"
		sink = &streamv3.StderrAccessLog{
			AccessLogFormat: &streamv3.StderrAccessLog_LogFormat{LogFormat: logFormat(l)},
		}
	}
	packed, err := pack(sink)
	if err != nil {
		return nil, in("access log", err)
	}
	out.ConfigType = &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed}
	return []*accesslogv3.AccessLog{out}, nil
}

func logFormat(l *ir.AccessLog) *corev3.SubstitutionFormatString {
	if l.Text != "" {
		return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormatSource{
			TextFormatSource: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: l.Text}},
		}}
	}
	fields := make(map[string]*structpb.Value, len(l.Fields))
	for _, f := range l.Fields {
		fields[f.Name] = structpb.NewStringValue(f.Format)
	}
	return &corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}},
	}
}

func logFilter(l *ir.AccessLog, stream bool) *accesslogv3.AccessLogFilter {
	status := func(from uint32) *accesslogv3.AccessLogFilter {
		return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
			StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
				Op:    accesslogv3.ComparisonFilter_GE,
				Value: &corev3.RuntimeUInt32{DefaultValue: from, RuntimeKey: "signet.access_log.minimum_status"},
			}},
		}}
	}
	// Without names it is any flag.
	flagged := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{},
	}}
	switch {
	case l.Only == ir.LogAll:
		return nil
	case stream:
		return flagged
	case l.Only == ir.LogStatus:
		return status(l.MinimumStatus)
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{
		OrFilter: &accesslogv3.OrFilter{Filters: []*accesslogv3.AccessLogFilter{status(500), flagged}},
	}}
}
