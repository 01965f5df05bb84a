package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/ir"
)

// Identities gives an Envoy its identity; [certificate.Keeper] is one.
type Identities interface {
	// Watch returns the current identity and a channel that is closed when
	// there may be another.
	Watch(fleet ir.Name) (certificate.Identity, <-chan struct{}, error)
}

// Config says which Envoy to run and how. Fleet, XDSAddress and Identities are
// required; zero values of the rest take the default.
type Config struct {
	// Envoy is the path of the binary; "" searches, see [Find].
	Envoy string
	// Fleet is whose Envoy this is.
	Fleet ir.Name
	// NodeID names this Envoy in the control plane's log and status; "" is
	// "<host name>-<process id>".
	NodeID string
	// XDSAddress is "host:port" of the control plane.
	XDSAddress string
	// Identities gives the client certificate, now and after each rotation.
	Identities Identities

	// Folder is where the private folder is made; "" is $XDG_RUNTIME_DIR, else
	// the folder for temporary files.
	Folder string
	// Concurrency is the number of worker threads; 0 is one per processor.
	Concurrency uint32
	// LogLevel is Envoy's --log-level; "" is "warning".
	LogLevel string
	// MaxHeapBytes and MaxConnections are as in the bootstrap.
	MaxHeapBytes, MaxConnections uint64

	// DrainTimeout bounds the wait for requests in flight at the end; 0 is 5 s.
	DrainTimeout time.Duration
	// StopTimeout bounds the wait for Envoy to end after SIGTERM, before
	// SIGKILL; 0 is 5 s.
	StopTimeout time.Duration

	// Supervisor is the command line that runs [SupervisorMain]; nil is this
	// binary with [SupervisorCommand].
	Supervisor []string
	// Log receives what this package and Envoy have to say.
	Log logr.Logger
	// Stdout receives Envoy's standard output (access logs, where a listener
	// writes them there); nil is Log.
	Stdout io.Writer
	// OnStart, when set, is called each time that an Envoy has started, and
	// OnReady each time that one is ready: it has all of its first
	// configuration. They must not block.
	OnStart, OnReady func(Process)
	// Clock measures the back-off between two starts.
	Clock clock.Clock
}

// Process is one running Envoy.
type Process struct {
	PID         int
	Supervisor  int // process id of the supervisor
	Path        string
	Version     Version
	Folder      string
	AdminSocket string
}

// ErrConfig says that a [Config] lacks something.
var ErrConfig = errors.New("host config")

// logLevels are those that Envoy knows.
var logLevels = []string{"trace", "debug", "info", "warning", "error", "critical", "off"}

const (
	defaultDrain    = 5 * time.Second
	defaultStop     = 5 * time.Second
	defaultLogLevel = "warning"
)

func (c Config) withDefaults() (Config, error) {
	if c.Identities == nil {
		return c, fmt.Errorf("%w: Identities is nil: set it", ErrConfig)
	}
	if c.NodeID == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("%w: NodeID is empty and there is no host name: %w", ErrConfig, err)
		}
		c.NodeID = fmt.Sprintf("%s-%d", name, os.Getpid())
	}
	if c.LogLevel == "" {
		c.LogLevel = defaultLogLevel
	}
	if !slices.Contains(logLevels, c.LogLevel) {
		return c, fmt.Errorf("%w: LogLevel is %q: give one of %q", ErrConfig, c.LogLevel, logLevels)
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = defaultDrain
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = defaultStop
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Supervisor == nil {
		self, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("%w: Supervisor is nil and this binary has no path: %w", ErrConfig, err)
		}
		c.Supervisor = []string{self, SupervisorCommand}
	}
	return c, nil
}
