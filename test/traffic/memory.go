package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/signetproxy/signet/test/estate"
	"github.com/signetproxy/signet/test/figures"
)

// runMemory looks at the memory after the start, and again after edits of many
// hosts: headers and endpoints in turn, each 20th awaited.
func runMemory(b *bench) error {
	limit := figures.Max(300)
	<-time.After(5 * time.Second) // what the start needed is given back, or not
	b.Value("memory of signet, 5 s after the start", float64(b.Signet().MiB), figures.MiB, limit)
	b.Value("memory of Envoy, 5 s after the start", float64(b.Envoy().MiB), figures.MiB)
	b.Value("most memory of signet while it started", float64(b.Signet().PeakMiB), figures.MiB)
	l := b.lightLoad()
	most := 0
	for i := range b.changes {
		if err := b.ctx.Err(); err != nil {
			l.Stop()
			return err
		}
		next := headerEdited
		if i%2 == 1 {
			next = endpointsChanged
		}
		s, err := next(b, i)
		if err == nil {
			_, err = s.apply()
		}
		if err == nil && i%20 == 0 {
			_, err = estate.Until(s.fresh)
			most = max(most, b.Signet().MiB)
		}
		if err != nil {
			l.Stop()
			return err
		}
	}
	err := b.settle(l, "beside the edits")
	b.Value(fmt.Sprintf("most memory of signet in %d edits", b.changes), float64(most), figures.MiB, limit)
	b.Value("memory of signet after the edits", float64(b.Signet().MiB), figures.MiB, limit)
	b.Value("memory of Envoy after the edits", float64(b.Envoy().MiB), figures.MiB)
	return errors.Join(err)
}
