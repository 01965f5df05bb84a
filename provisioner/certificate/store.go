package certificate

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The keys of a stored state: PEM of certificate and key under the role's name
// with one of the extensions; since holds a time in RFC 3339.
const (
	roleSigning   = "signing"
	roleSuccessor = "successor"
	roleRetired   = "retired-" // and a number from 0
	roleServer    = "server"

	extCertificate = ".crt"
	extKey         = ".key"
	extSince       = ".since"
)

// ErrStored says that a stored state cannot be read.
var ErrStored = errors.New("stored certificates")

// Encode writes a state, without its identities, as the data of a Secret. It
// holds private keys.
func Encode(s State) (map[string][]byte, error) {
	out := map[string][]byte{}
	put := func(role string, k *KeyPair, since time.Time) error {
		key, err := k.KeyPEM()
		if err != nil {
			return err
		}
		out[role+extCertificate], out[role+extKey] = k.CertificatePEM(), key
		if !since.IsZero() {
			out[role+extSince] = []byte(since.UTC().Format(time.RFC3339Nano))
		}
		return nil
	}
	if s.Signing != nil {
		if err := put(roleSigning, &s.Signing.KeyPair, time.Time{}); err != nil {
			return nil, err
		}
	}
	if s.Successor != nil {
		if err := put(roleSuccessor, &s.Successor.KeyPair, s.SuccessorSince); err != nil {
			return nil, err
		}
	}
	for i, r := range s.Retired {
		if err := put(roleRetired+strconv.Itoa(i), &r.KeyPair, r.Since); err != nil {
			return nil, err
		}
	}
	if s.Server != nil {
		if err := put(roleServer, s.Server, time.Time{}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Decode reads what [Encode] wrote; nothing is the empty state. Whatever cannot
// be read is [ErrStored] and names the key: a state that is half understood
// must not be written over.
func Decode(data map[string][]byte) (State, error) {
	var s State
	var err error
	if s.Signing, err = authorityIn(data, roleSigning); err != nil {
		return State{}, err
	}
	if s.Successor, err = authorityIn(data, roleSuccessor); err != nil {
		return State{}, err
	}
	if s.Successor != nil {
		if s.SuccessorSince, err = sinceIn(data, roleSuccessor); err != nil {
			return State{}, err
		}
	}
	for i := 0; ; i++ {
		role := roleRetired + strconv.Itoa(i)
		a, err := authorityIn(data, role)
		if err != nil {
			return State{}, err
		}
		if a == nil {
			break
		}
		since, err := sinceIn(data, role)
		if err != nil {
			return State{}, err
		}
		s.Retired = append(s.Retired, RetiredAuthority{Authority: a, Since: since})
	}
	if len(data[roleServer+extCertificate]) > 0 {
		if s.Server, err = ParseKeyPair(data[roleServer+extCertificate], data[roleServer+extKey]); err != nil {
			return State{}, fmt.Errorf("%w: %s: %w", ErrStored, roleServer+extCertificate, err)
		}
	}
	return s, nil
}

func authorityIn(data map[string][]byte, role string) (*Authority, error) {
	if len(data[role+extCertificate]) == 0 && len(data[role+extKey]) == 0 {
		return nil, nil
	}
	a, err := ParseAuthority(data[role+extCertificate], data[role+extKey])
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStored, role+extCertificate, err)
	}
	return a, nil
}

func sinceIn(data map[string][]byte, role string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, string(data[role+extSince]))
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s: %w", ErrStored, role+extSince, err)
	}
	return t, nil
}
