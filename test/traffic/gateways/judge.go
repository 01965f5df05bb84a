package gateways

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signetproxy/signet/test/backend"
	"github.com/signetproxy/signet/test/load"
)

// shown is what an answer shows of the state that it was given in; the zero
// value is an answer that no backend gave.
type shown struct {
	Backend string
	// SNI is the name that the backend was asked for in its handshake.
	SNI string
	// Version is the route's, where it bears one.
	Version string
	// Leaf is the serial number of the listener's certificate, where it is asked for.
	Leaf string
}

// ask is a request and what its answer shows in each version of the state.
type ask struct {
	request load.Request
	want    func(version int) shown
	// leaf says that the listener's certificate counts.
	leaf bool
	// handshake says that what changes decides about handshakes with the backend.
	handshake bool
}

// look reads an answer. One that a backend gave without TLS, or that is neither
// a 200 nor a refusal, is an error. It returns when the connection to the backend
// began, if there was one.
func (a *ask) look(o *load.Outcome) (shown, time.Time, error) {
	if o.Err != nil {
		return shown{}, time.Time{}, o.Err
	}
	by := o.Header.Get("X-Backend")
	if by == "" && o.Code >= http.StatusBadRequest {
		return shown{}, time.Time{}, nil
	}
	var seen backend.Request
	switch err := json.Unmarshal(o.Body, &seen); {
	case o.Code != http.StatusOK:
		return shown{}, time.Time{}, errors.New("want 200, or an error that no backend gave")
	case err != nil:
		return shown{}, time.Time{}, fmt.Errorf("answer of a backend: %w", err)
	case !seen.TLS:
		return shown{}, time.Time{}, fmt.Errorf("backend %q was reached without TLS", by)
	case seen.Backend != by || seen.Host != o.Host:
		return shown{}, time.Time{}, fmt.Errorf("backend %q answers for %q and the host %q", by, seen.Backend, seen.Host)
	}
	out := shown{Backend: by, SNI: seen.SNI, Version: o.Header.Get("X-Version")}
	if a.leaf {
		if o.TLS == nil || len(o.TLS.PeerCertificates) == 0 {
			return shown{}, time.Time{}, errors.New("no certificate was shown")
		}
		out.Leaf = o.TLS.PeerCertificates[0].SerialNumber.String()
	}
	return out, seen.Connected, nil
}

// judge refuses an answer that shows no state of its time.
func (a *ask) judge(line *load.Timeline, o *load.Outcome) error {
	got, connected, err := a.look(o)
	if err != nil {
		return err
	}
	of := *o
	if a.handshake && !connected.IsZero() && connected.Before(o.Sent) {
		// Established connections are kept. One is left over when Envoy began two
		// at once, and the requests that waited for them fail with the first.
		of.Sent = connected
	}
	oldest, newest := line.Window(&of)
	var wants []shown
	for v := oldest; v <= newest; v++ {
		want := a.want(v)
		if got == want {
			return nil
		}
		wants = append(wants, want)
	}
	return fmt.Errorf("shows %+v, and of versions %d to %d each shows one of %+v", got, oldest, newest, wants)
}
