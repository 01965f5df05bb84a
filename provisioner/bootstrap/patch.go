package bootstrap

import (
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	jsonpatch "github.com/evanphx/json-patch/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Patch applies a merge patch (RFC 7396) to a rendered bootstrap. It returns
// [ErrConfig] when the result is no bootstrap, or when the patch changes what
// connects Envoy to its control plane: the node's cluster and ID, the dynamic
// resources, the static clusters and listeners, and the admin interface.
func Patch(rendered, patch []byte) ([]byte, error) {
	merged, err := jsonpatch.MergePatch(rendered, patch)
	if err != nil {
		return nil, fmt.Errorf("%w: the patch is not a merge patch: %w", ErrConfig, err)
	}
	before, after := &bootstrapv3.Bootstrap{}, &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(rendered, before); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := protojson.Unmarshal(merged, after); err != nil {
		return nil, fmt.Errorf("%w: what the patch gives is no bootstrap: %w", ErrConfig, err)
	}
	for _, kept := range []struct {
		field string
		same  bool
	}{
		{"node.id", before.GetNode().GetId() == after.GetNode().GetId()},
		{"node.cluster", before.GetNode().GetCluster() == after.GetNode().GetCluster()},
		{"dynamic_resources", proto.Equal(before.GetDynamicResources(), after.GetDynamicResources())},
		{"static_resources", proto.Equal(before.GetStaticResources(), after.GetStaticResources())},
		{"admin", proto.Equal(before.GetAdmin(), after.GetAdmin())},
	} {
		if !kept.same {
			return nil, fmt.Errorf("%w: the patch changes %s, by which Envoy and Signet work together: leave it out", ErrConfig, kept.field)
		}
	}
	return render(after)
}
