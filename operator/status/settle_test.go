package status

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/ir"
)

// A Gateway's status was written again for nearly every route that was attached
// to it: dozens of times while a thousand came.
func TestALookThatCanWaitWaitsUntilChangesEnd(t *testing.T) {
	gateway := ir.Name{Namespace: "default", Name: "gw"}
	cases := map[string]struct {
		reason string
		// every says how often it is touched, and long for how long.
		every, long time.Duration
		// want are the looks since the first touch.
		want []time.Duration
	}{
		"one":   {"one change is seen soon", time.Second, time.Second, []time.Duration{settleQuiet}},
		"burst": {"many at once are one", 10 * time.Millisecond, time.Second, []time.Duration{990*time.Millisecond + settleQuiet}},
		"endless": {
			"what never ends is seen all the same", 130 * time.Millisecond, 21 * time.Second,
			// Each wait begins with the first touch after the one before.
			[]time.Duration{settleMost, 10010*time.Millisecond + settleMost, 20930*time.Millisecond + settleQuiet},
		},
		"apart": {"changes that are far apart do not wait for each other", time.Second, 2 * time.Second, []time.Duration{settleQuiet, time.Second + settleQuiet}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(Options{})
				began := time.Now()
				var got []time.Duration
				done := make(chan struct{})
				go func() {
					defer close(done)
					for {
						i, shutdown := w.few.Get()
						if shutdown {
							return
						}
						got = append(got, time.Since(began).Round(50*time.Millisecond))
						w.few.Done(i)
					}
				}()
				for at := time.Duration(0); at < tc.long; at += tc.every {
					w.TouchSettled(Gateway, gateway)
					time.Sleep(tc.every) //nolint:forbidigo // in a synctest bubble
				}
				time.Sleep(2 * settleMost) //nolint:forbidigo // in a synctest bubble
				w.many.ShutDown()
				w.few.ShutDown()
				<-done
				want := make([]time.Duration, len(tc.want))
				for i := range tc.want {
					want[i] = tc.want[i].Round(50 * time.Millisecond)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: looks: -want, +got:\n%s", tc.reason, diff)
				}
			})
		})
	}
}

// A Gateway that a thousand routes came to told their number seconds late: its
// status stood behind all of theirs.
func TestFewDoNotStandBehindMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held, looked := make(chan struct{}), make(chan struct{}, 1)
		w := New(Options{
			Workers:   1,
			HTTPProxy: func(ir.Name) (contourv1.HTTPProxyStatus, bool) { <-held; return contourv1.HTTPProxyStatus{}, false },
			Gateway: func(Kind, ir.Name) (any, bool) {
				looked <- struct{}{}
				return nil, false
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		for i := range 3 {
			w.Touch(HTTPProxy, name(i))
		}
		w.Touch(Gateway, ir.Name{Namespace: "default", Name: "gw"})
		<-time.After(2 * aside)
		select {
		case <-looked:
		default:
			t.Error("the Gateway waits for other objects")
		}
		cancel()
		close(held)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
