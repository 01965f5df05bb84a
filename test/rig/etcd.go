package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Compact has etcd forget all revisions but the current one, so that whoever
// watches from an older one must list again.
func (r *Rig) Compact(ctx context.Context) error {
	var now struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	// etcd's own JSON interface: the key is "\0", and need not be there.
	if err := r.etcd(ctx, "/v3/kv/range", map[string]any{"key": "AA==", "limit": 1}, &now); err != nil {
		return err
	}
	return r.etcd(ctx, "/v3/kv/compaction", map[string]any{"revision": now.Header.Revision, "physical": true}, nil)
}

func (r *Rig) etcd(ctx context.Context, path string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Server.EtcdURL()+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	res, err := plain.Do(req)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd: %s: %s: %s", path, res.Status, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("etcd: %s: %w", path, err)
	}
	return nil
}
