// Package health decides when Signet and its Envoys are ready, and answers
// probes: /healthz, /readyz and, beside them, /metrics and on request pprof.
//
// It promises that readiness is never claimed early: a control plane is ready
// when its source is complete and its first revision is committed, an Envoy
// when it has acknowledged one complete revision. The decisions are pure
// functions of what was observed; handlers only ask and answer. Answers name
// what is not ready and why, in the words that Kubernetes uses, and hold no
// content of any object.
package health
