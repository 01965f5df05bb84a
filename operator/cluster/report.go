package cluster

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/kubernetes"
)

// Report is what this replica serves, and the Envoys that are connected to it.
func (c *Cluster) Report() *report.Report {
	t := c.pipeline.Translator()
	b := report.Builder{Translator: t, Fleets: c.pipeline.Fleets(), Envoys: c.xds.State(), Rollout: c.rollout}
	r := b.Build(t.Current())
	r.AddProblems(c.pipeline.Problems())
	return r
}

// report answers `signet status`.
func (c *Cluster) report(ctx context.Context) error {
	if c.cfg.StatusAddress == "" || c.cfg.StatusAddress == "0" {
		<-ctx.Done()
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.cfg.StatusAddress)
	if err != nil {
		return fmt.Errorf("reports: %w", err)
	}
	return report.Serve(ctx, l, c.Report, c.cfg.Log)
}

// Translate reads a cluster once, with the rights of the account of config, and
// reports what its Envoys would get. It writes nothing. Namespaces are those to
// read; none is all.
func Translate(ctx context.Context, config *rest.Config, namespaces []string, log logr.Logger) (*report.Report, error) {
	s, err := kubernetes.New(kubernetes.Options{
		Config: config, Namespaces: namespaces, References: references, Log: log,
		Uses: pipeline.Uses, Targets: pipeline.Targets, Backends: pipeline.Backends, Lacks: pipeline.Lacks,
	})
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	batch, err := first(ctx, s)
	if err != nil {
		return nil, err
	}
	p := pipeline.New(pipeline.Options{Each: fleetSpec, Gateway: gatewaySpec, SystemTrust: source.SystemTrust()})
	rev := p.Once(batch, time.Now())
	b := report.Builder{Translator: p.Translator(), Fleets: p.Fleets()}
	r := b.Build(rev)
	r.AddProblems(batch.Problems)
	if err := b.AddResources(r, p.Translator().Resources(rev)); err != nil {
		return nil, fmt.Errorf("translation: %w", err)
	}
	return r, nil
}

// first joins what a source gives until its first full list is complete.
func first(ctx context.Context, s source.Source) (source.Batch, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan source.Batch)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Run(ctx, source.SinkFunc(func(b source.Batch) {
			select {
			case batches <- b:
			case <-ctx.Done():
			}
		}))
	}()
	var all source.Batch
	for {
		select {
		case <-ctx.Done():
			return all, fmt.Errorf("reading the cluster: %w", ctx.Err())
		case err := <-ended:
			return all, fmt.Errorf("reading the cluster: %w", err)
		case b := <-batches:
			all.Changed = append(all.Changed, b.Changed...)
			if b.Problems != nil {
				all.Problems = b.Problems
			}
			if b.Complete {
				return all, nil
			}
		}
	}
}
