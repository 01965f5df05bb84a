package status

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The kinds of the Gateway API.
const (
	GatewayClass     Kind = "GatewayClass"
	Gateway          Kind = "Gateway"
	ListenerSet      Kind = "ListenerSet"
	HTTPRoute        Kind = "HTTPRoute"
	GRPCRoute        Kind = "GRPCRoute"
	TLSRoute         Kind = "TLSRoute"
	TCPRoute         Kind = "TCPRoute"
	UDPRoute         Kind = "UDPRoute"
	BackendTLSPolicy Kind = "BackendTLSPolicy"
)

// gatewayObjects make an object of each kind of the Gateway API.
var gatewayObjects = map[Kind]func() client.Object{
	GatewayClass:     func() client.Object { return &gatewayv1.GatewayClass{} },
	Gateway:          func() client.Object { return &gatewayv1.Gateway{} },
	ListenerSet:      func() client.Object { return &gatewayv1.ListenerSet{} },
	HTTPRoute:        func() client.Object { return &gatewayv1.HTTPRoute{} },
	GRPCRoute:        func() client.Object { return &gatewayv1.GRPCRoute{} },
	TLSRoute:         func() client.Object { return &gatewayv1.TLSRoute{} },
	TCPRoute:         func() client.Object { return &gatewayv1.TCPRoute{} },
	UDPRoute:         func() client.Object { return &gatewayv1.UDPRoute{} },
	BackendTLSPolicy: func() client.Object { return &gatewayv1.BackendTLSPolicy{} },
}

// writeGateway writes a status of the Gateway API. Its lists of entries are atomic,
// so server-side apply would throw foreign entries away: what differs is written
// over the version of the object that was read, and only over that one.
func (w *Writer) writeGateway(ctx context.Context, i item, now metav1.Time) error {
	object, known := gatewayObjects[i.kind]
	if !known {
		return nil
	}
	want, over, err := w.wanted(i)
	if want == nil || err != nil {
		return err
	}
	cached := object()
	if found, err := w.read(ctx, i, cached); !found || err != nil {
		return err
	}
	have, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cached)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if len(changes(statusOf(have), want, now)) == 0 {
		return nil
	}
	// The object as it is now, with what our types do not know of it.
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersion(gatewayv1.GroupVersion).WithKind(string(i.kind)))
	if err := w.options.Client.Get(ctx, i.key(), live); err != nil {
		return ignoreGone(err)
	}
	if live.GetUID() != cached.GetUID() {
		return nil // another object of the name: its own event comes
	}
	if over != "" && over != live.GetResourceVersion() {
		return errBehind
	}
	patch := changes(statusOf(live.Object), want, now)
	if len(patch) == 0 {
		return nil
	}
	raw, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": live.GetResourceVersion()}, "status": patch,
	})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	err = w.options.Client.Status().Patch(ctx, live, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(Manager))
	if err == nil {
		w.wrote(i, live)
	}
	return ignoreGone(err)
}

// Over is a status of the Gateway API that is right for one version of the object
// alone.
type Over struct {
	Version string
	Status  any
}

// wanted is the status that an object should have, nil for none, and the version
// that it is for, "" for any.
func (w *Writer) wanted(i item) (want map[string]any, over string, err error) {
	if w.options.Gateway == nil {
		return nil, "", nil
	}
	typed, ok := w.options.Gateway(i.kind, i.name)
	if !ok {
		return nil, "", nil
	}
	if o, one := typed.(Over); one {
		typed, over = o.Status, o.Version
	}
	if want, err = runtime.DefaultUnstructuredConverter.ToUnstructured(typed); err != nil {
		return nil, "", fmt.Errorf("encode: %w", err)
	}
	return want, over, nil
}

func statusOf(o map[string]any) map[string]any {
	s, _, err := unstructured.NestedMap(o, "status")
	if err != nil || s == nil {
		return map[string]any{}
	}
	return s
}

func ignoreGone(err error) error {
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("write: %w", err)
}
