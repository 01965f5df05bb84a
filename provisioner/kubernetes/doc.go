// Package kubernetes makes the objects by which a cluster runs a fleet, and
// keeps them: workload, Service, ServiceAccount, the Secret with the identity,
// disruption budget, autoscaler and NetworkPolicy.
//
// [Render] is pure: equal fleets give equal objects. Pods fit the restricted
// Pod Security Standard, and nothing in a pod's template follows from a
// Secret's content: a rotation restarts nobody. [Applier] brings the cluster
// there by server-side apply with one field manager: it writes only what
// differs, puts right what has drifted, and removes what is no longer wanted.
//
// It never touches an object that another owner has, whatever its name, and
// never a field that it has not set.
package kubernetes
