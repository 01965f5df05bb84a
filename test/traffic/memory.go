package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/signetproxy/signet/test/estate"
)

// runMemory looks at the memory after the start, and again after edits of many
// hosts: headers and endpoints in turn, each 20th awaited.
func runMemory(b *bench) error {
	limit := bars{"max": 300}
	<-time.After(5 * time.Second) // what the start needed is given back, or not
	b.value("memory of signet, 5 s after the start", b.Signet().MiB, mib, limit)
	b.value("memory of Envoy, 5 s after the start", b.Envoy().MiB, mib, nil)
	b.value("most memory of signet while it started", b.Signet().PeakMiB, mib, nil)
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
	b.value(fmt.Sprintf("most memory of signet in %d edits", b.changes), most, mib, limit)
	b.value("memory of signet after the edits", b.Signet().MiB, mib, limit)
	b.value("memory of Envoy after the edits", b.Envoy().MiB, mib, nil)
	return errors.Join(err)
}
