package kubernetes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// However long the API server was away, it is asked within maxPause of its
// return.
func TestPersistComesBackWithinMaxPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(10 * time.Minute)
		got, err := persist(t.Context(), logr.Discard(), passes, func() (int, error) {
			if time.Now().Before(back) {
				return 0, errors.New("connection refused")
			}
			return 1, nil
		})
		if got != 1 || err != nil {
			t.Fatalf("persist: %d, %v, want 1", got, err)
		}
		if late := time.Since(back); late > maxPause {
			t.Errorf("%s after the API server was back, want at most %s", late, maxPause)
		}
	})
}

func TestPersistEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		refused := errors.New("connection refused")
		if _, err := persist(ctx, logr.Discard(), passes, func() (int, error) { return 0, refused }); !errors.Is(err, refused) {
			t.Errorf("persist: %v, want the attempt's error", err)
		}
	})
}

func TestPasses(t *testing.T) {
	tooLarge := apierrors.NewTimeoutError("Too large resource version: 5, current: 3", 1)
	tooLarge.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	resource := schema.GroupResource{Group: "projectcontour.io", Resource: "httpproxies"}
	cases := map[string]struct {
		reason string
		err    error
		want   bool
	}{
		"network":     {"it comes back", errors.New("connection refused"), true},
		"unavailable": {"it is starting", apierrors.NewServiceUnavailable("starting"), true},
		"throttled":   {"it is busy", apierrors.NewTooManyRequests("busy", 1), true},
		"not found":   {"its CRDs are not known yet, or the watch is let go", apierrors.NewNotFound(resource, ""), true},
		"forbidden":   {"a right may be given", apierrors.NewForbidden(resource, "", errors.New("no")), true},
		"expired":     {"the reflector must list anew", apierrors.NewResourceExpired("too old"), false},
		"bad request": {"the request is at fault", apierrors.NewBadRequest("what"), false},
		"too large":   {"the reflector must ask without a version", tooLarge, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := passes(c.err); got != c.want {
				t.Errorf("passes(%v) = %t, want %t: %s", c.err, got, c.want, c.reason)
			}
		})
	}
}
