package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/test/rig"
	"github.com/signetproxy/signet/test/traffic/gateways"
)

// runGateways is S7.
func runGateways(b *bench) error {
	m := &manifests{ctx: b.ctx, client: b.Client, objects: map[string][]client.Object{}}
	s, err := gateways.NewAt(rig.Address, m)
	if err != nil {
		s.Close()
		return fmt.Errorf("backends: %w", err)
	}
	defer s.Close()
	files, err := s.Files()
	if err != nil {
		return fmt.Errorf("manifests: %w", err)
	}
	for name, content := range files {
		if _, err := m.Write(name, content); err != nil {
			return err
		}
	}
	if err := b.operator(b.ctx); err != nil {
		return err
	}
	e, err := b.StartGateway(b.ctx, gateways.GatewayName, s.HTTP())
	if err != nil {
		return err
	}
	first := b.take(b.objects)
	if err := b.Create(b.ctx, "HTTPRoutes", b.objects, func(i int) []client.Object { return besides(b.stage, first+i) }); err != nil {
		return err
	}
	if _, err := b.sweep(e, first, b.objects); err != nil {
		return err
	}
	return s.Measure(b.ctx, b.Run, b.changes, b.rate)
}

// besides are the objects of a host that is on the Gateway and does not change.
func besides(s *stage, i int) []client.Object {
	r := rig.Route(i, "v0")
	r.Spec.ParentRefs[0].Name = gatewayv1.ObjectName(gateways.GatewayName)
	return []client.Object{rig.Service(i, false), rig.Slice(i, s.Backends[0]), rig.Policy(i), r}
}

// manifests are applied to the API server; a change counts from its answer on.
type manifests struct {
	ctx     context.Context
	client  client.Client
	objects map[string][]client.Object
}

func (m *manifests) Write(name, content string) (time.Time, error) {
	objects, err := parse(content)
	if err != nil {
		return time.Time{}, fmt.Errorf("manifest %s: %w", name, err)
	}
	for _, o := range objects {
		if err := m.client.Apply(m.ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("scale"), client.ForceOwnership); err != nil {
			return time.Time{}, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	at := time.Now()
	m.objects[name] = m.objects[name][:0]
	for _, o := range objects {
		m.objects[name] = append(m.objects[name], o)
	}
	return at, nil
}

func (m *manifests) Remove(name string) (time.Time, error) {
	for _, o := range m.objects[name] {
		if err := m.client.Delete(m.ctx, o); err != nil {
			return time.Time{}, fmt.Errorf("manifest %s: %w", name, err)
		}
	}
	delete(m.objects, name)
	return time.Now(), nil
}

// parse reads the documents of a text.
func parse(text string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), len(text)+1); ; {
		o := &unstructured.Unstructured{}
		switch err := d.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("parse: %w", err)
		case len(o.Object) > 0:
			out = append(out, o)
		}
	}
}
