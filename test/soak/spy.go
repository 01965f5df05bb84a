package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/signetproxy/signet/test/soak/model"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// spy is a client with the identity of one fleet that asks for everything of
// its own, and by name for everything of another, stream after stream. It
// acknowledges nothing: what one Envoy has acknowledged is not held back because
// another refuses it, and it cannot tell what those would refuse.
func (w *watch) spy(ctx context.Context, own, other *fleet) {
	for ctx.Err() == nil {
		if err := w.look(ctx, own, other); err != nil && ctx.Err() == nil {
			w.mu.Lock()
			w.refused++
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// look holds one stream for some seconds.
func (w *watch) look(ctx context.Context, own, other *fleet) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conf, err := w.s.identities.ClientTLS(own.id)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(w.s.xds, grpc.WithTransportCredentials(credentials.NewTLS(conf)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return fmt.Errorf("spy: %w", err)
	}
	defer conn.Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return fmt.Errorf("spy: %w", err)
	}
	// What it says of itself is a lie: its certificate alone counts.
	node := &corev3.Node{Id: "spy-" + own.name, Cluster: other.id.String()}
	for _, r := range questions(own, other) {
		r.Node = node
		if err := stream.Send(r); err != nil {
			return fmt.Errorf("spy: %w", err)
		}
	}
	w.mu.Lock()
	w.spied++
	w.mu.Unlock()
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("spy: %w", err)
		}
		for _, r := range response.GetResources() {
			text := r.GetName() + "\n" + string(r.GetResource().GetValue())
			if what := w.s.estate.foreign(own.name, text); what != "" {
				w.s.history.Add(model.Finding{At: time.Now(), Kind: model.Leak, Text: fmt.Sprintf(
					"a client of fleet %s was sent %s: %s %q", own.name, what, response.GetTypeUrl(), r.GetName())})
			}
		}
	}
}

// questions ask for all of one's own, and for what another fleet has by name.
func questions(own, other *fleet) []*discoveryv3.DeltaDiscoveryRequest {
	var secrets, assignments []string
	for _, f := range []*fleet{own, other} {
		secrets = append(secrets, "certificate/"+f.name+"/client"+ir.NoHost, "trust/"+f.name+"/Secret/ca"+ir.NoHost)
		for i := range hosts {
			secrets = append(secrets, fmt.Sprintf("certificate/%s/t%d%s", f.name, i, ir.NoHost), f.slots[i].host(f.name, i))
		}
		for j := range services {
			assignments = append(assignments, fmt.Sprintf("%s/s%d/%d", f.name, j, port))
		}
	}
	return []*discoveryv3.DeltaDiscoveryRequest{
		{TypeUrl: string(envoy.ClusterType)},
		{TypeUrl: string(envoy.EndpointType), ResourceNamesSubscribe: assignments},
		{TypeUrl: string(envoy.SecretType), ResourceNamesSubscribe: secrets},
		{TypeUrl: string(envoy.ListenerType)},
		{TypeUrl: string(envoy.ScopeType)},
	}
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
