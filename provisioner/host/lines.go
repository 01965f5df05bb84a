package host

import (
	"bytes"
	"errors"
	"strings"

	"github.com/go-logr/logr"
)

// envoyLogFormat is level, component and message; Envoy escapes line breaks in
// the message, so that a line is an entry.
const envoyLogFormat = "%l\t%n\t%v"

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

// logEnvoy logs one line of Envoy's log. A line that is none, as of a crash, is
// logged as it is.
func logEnvoy(log logr.Logger) func(line string) {
	return func(line string) {
		level, rest, ok := strings.Cut(line, "\t")
		component, message, both := strings.Cut(rest, "\t")
		if !ok || !both {
			log.Info(line)
			return
		}
		log := log.WithValues("component", component)
		switch level {
		case "trace", "debug":
			log.V(1).Info(message, "level", level)
		case "error", "critical":
			log.Error(errEnvoySays, message, "level", level)
		default:
			log.Info(message, "level", level)
		}
	}
}
