package health

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one thing that must hold.
type Check struct {
	// Name is one word, as "source".
	Name string
	// Run returns why it does not hold, or nil. It ends with its context.
	Run func(context.Context) error
}

// Handlers answer probes and scrapes.
type Handlers struct {
	// Live are what a process that must not be killed fulfils; none means that
	// it lives while it answers. Ready are what it needs to serve.
	Live, Ready []Check
	// Metrics may be nil: then there are none.
	Metrics prometheus.Gatherer
	// Profiles serves /debug/pprof/. A profile shows what the process does, and
	// taking one costs it time: only on request.
	Profiles bool
}

// Paths that are answered.
const (
	LivePath     = "/healthz"
	ReadyPath    = "/readyz"
	MetricsPath  = "/metrics"
	ProfilesPath = "/debug/pprof/"
)

// checkTimeout bounds all checks of one probe; a kubelet waits for 1 s by
// default.
const checkTimeout = 900 * time.Millisecond

// Mux serves the handlers on their paths.
func (h *Handlers) Mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET "+LivePath, probe(h.Live))
	mux.Handle("GET "+ReadyPath, probe(h.Ready))
	if h.Metrics != nil {
		mux.Handle("GET "+MetricsPath, promhttp.HandlerFor(h.Metrics, promhttp.HandlerOpts{}))
	}
	if h.Profiles {
		mux.HandleFunc("GET "+ProfilesPath, pprof.Index)
		mux.HandleFunc("GET "+ProfilesPath+"cmdline", pprof.Cmdline)
		mux.HandleFunc("GET "+ProfilesPath+"profile", pprof.Profile)
		mux.HandleFunc("GET "+ProfilesPath+"symbol", pprof.Symbol)
		mux.HandleFunc("GET "+ProfilesPath+"trace", pprof.Trace)
	}
	return mux
}

// probe answers 200 with "ok" when all checks hold, else 503 with one line for
// each check. With ?verbose it always lists them.
func probe(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		code := http.StatusOK
		var list strings.Builder
		for _, c := range checks {
			if err := c.Run(ctx); err != nil {
				code = http.StatusServiceUnavailable
				fmt.Fprintf(&list, "[-]%s failed: %s\n", c.Name, strings.ReplaceAll(err.Error(), "\n", "; "))
				continue
			}
			fmt.Fprintf(&list, "[+]%s ok\n", c.Name)
		}
		body := "ok"
		if code != http.StatusOK || r.URL.Query().Has("verbose") {
			body = list.String()
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}
