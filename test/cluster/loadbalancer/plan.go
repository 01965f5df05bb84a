package loadbalancer

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// plan says which Services need another address than their status has: an
// invalid address means none. Who has an address keeps it, then who asks for
// one gets it, then the rest get what is left, the oldest first.
func plan(services []*corev1.Service, pool netip.Prefix) map[types.NamespacedName]netip.Addr {
	services = slices.SortedFunc(slices.Values(services), older)
	have := map[types.NamespacedName]netip.Addr{}
	taken := map[netip.Addr]bool{}
	give := func(s *corev1.Service, a netip.Addr) {
		have[key(s)] = a
		taken[a] = true
	}
	for _, s := range services {
		a, asked := current(s), requested(s)
		if ours(s) && pool.Contains(a) && !taken[a] && (!asked.IsValid() || asked == a) {
			give(s, a)
		}
	}
	for _, s := range services {
		if a := requested(s); ours(s) && !have[key(s)].IsValid() && pool.Contains(a) && !taken[a] {
			give(s, a)
		}
	}
	free := pool.Addr().Next() // the first address of a range names the range
	for _, s := range services {
		if !ours(s) || have[key(s)].IsValid() || requested(s).IsValid() {
			continue
		}
		for taken[free] {
			free = free.Next()
		}
		if pool.Contains(free) {
			give(s, free)
		}
	}
	changes := map[types.NamespacedName]netip.Addr{}
	for _, s := range services {
		if s.Spec.LoadBalancerClass == nil && have[key(s)] != current(s) {
			changes[key(s)] = have[key(s)]
		}
	}
	return changes
}

func ours(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil && s.DeletionTimestamp == nil
}

// current is the address in the status, requested that of the spec; neither is
// valid where there is none.
func current(s *corev1.Service) netip.Addr {
	if len(s.Status.LoadBalancer.Ingress) == 0 {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(s.Status.LoadBalancer.Ingress[0].IP)
	return a
}

func requested(s *corev1.Service) netip.Addr {
	a, _ := netip.ParseAddr(s.Spec.LoadBalancerIP)
	return a
}

func key(s *corev1.Service) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}

func older(a, b *corev1.Service) int {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}
