package kubernetes

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
)

const (
	// minPause and maxPause bound the wait between two attempts to reach the
	// API server. client-go's reflector waits up to a minute; while it does, an
	// operator is blind to every endpoint that goes.
	minPause = 100 * time.Millisecond
	maxPause = 2 * time.Second
)

// patient wraps a lister-watcher so that its caller, a reflector, does not see
// failures that a repetition mends, and so never backs off.
func patient(lw toolscache.ListerWatcher, log logr.Logger) toolscache.ListerWatcher {
	inner := toolscache.ToListerWatcherWithContext(lw)
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return persist(ctx, log, passes, func() (runtime.Object, error) { return inner.ListWithContext(ctx, o) })
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return persist(ctx, log, passes, func() (watch.Interface, error) { return inner.WatchWithContext(ctx, o) })
		},
	}
}

// persist repeats an attempt until it succeeds, or fails with an error that
// again refuses, or ctx ends.
func persist[T any](
	ctx context.Context, log logr.Logger, again func(error) bool, attempt func() (T, error),
) (T, error) {
	pause := minPause
	for n := 0; ; n++ {
		out, err := attempt()
		if err == nil || !again(err) || ctx.Err() != nil {
			if n > 0 && err == nil {
				log.V(1).Info("the API server answers again", "attempts", n)
			}
			return out, err
		}
		if n == 0 {
			log.V(1).Info("the API server cannot be asked: the attempt is repeated", "error", err.Error())
		}
		if !rest(ctx, pause) {
			return out, err
		}
		pause = min(2*pause, maxPause)
	}
}

// passes reports whether an error may go away by itself. The others tell the
// reflector to begin anew, or that a request is at fault.
func passes(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // the network's
	}
	switch {
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err),
		apierrors.IsMethodNotSupported(err), apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge):
		return false
	}
	return true
}

// rest waits for a pause with a jitter of a half; false when ctx ended first.
func rest(ctx context.Context, pause time.Duration) bool {
	//nolint:gosec // spreads load; nothing secret depends on it
	timer := time.NewTimer(pause/2 + rand.N(pause/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
