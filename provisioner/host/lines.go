package host

import (
	"bytes"
	"errors"
	"strings"

	"github.com/go-logr/logr"
)

// envoyLogFormat is level, component and message; Envoy escapes line breaks in
// it, so that a line is an entry.
const envoyLogFormat = "%l|%n|%v"

// unescape undoes what Envoy escapes without need. Control characters stay
// escaped: a peer may have sent them.
var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\'`, `'`)

// longestLine bounds what is kept of a line without an end.
const longestLine = 64 << 10

// lineWriter passes on each line that is written to it.
type lineWriter struct {
	pass func(line string)
	rest []byte
}

// Write never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		w.rest = append(w.rest, p[:min(i, longestLine)]...)
		w.flush()
		p = p[i+1:]
	}
	if room := longestLine - len(w.rest); room > 0 {
		w.rest = append(w.rest, p[:min(len(p), room)]...)
	}
	return n, nil
}

// flush passes on an unfinished line.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.pass(strings.TrimSuffix(string(w.rest), "\r"))
	}
	w.rest = w.rest[:0]
}

var errEnvoySays = errors.New("reported by Envoy")

// logEnvoy logs one line of Envoy's log at the level that it has there. A line
// of another form, as of a crash, is logged as it is.
func logEnvoy(log logr.Logger) func(line string) {
	return func(line string) {
		level, rest, _ := strings.Cut(line, "|")
		component, message, _ := strings.Cut(rest, "|")
		message = unescape.Replace(message)
		switch level {
		case "trace", "debug":
			log.V(1).Info(message, "level", level, "component", component)
		case "info", "warning":
			log.Info(message, "level", level, "component", component)
		case "error", "critical":
			log.Error(errEnvoySays, message, "level", level, "component", component)
		default:
			log.Info(line)
		}
	}
}
