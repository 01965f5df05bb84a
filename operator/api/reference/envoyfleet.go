package reference

// EnvoyFleet is what goes around the fields of an EnvoyFleet.
func EnvoyFleet() Options {
	return Options{
		Head: `# EnvoyFleet

<!-- Written by make generate from the comments and markers of operator/api/v1alpha1: change those. -->

Every field of an EnvoyFleet. [kubernetes.md](kubernetes.md) says what a fleet gets in a cluster, ` +
			`[accesslog.md](accesslog.md) what its Envoys log, [upstream-tls.md](upstream-tls.md) how they speak to backends.

Durations are Go's, as ` + "`90s`, `1h30m`" + `. A default in the column of that name is filled in by the API server; ` +
			`one in words is chosen by who reads the field.
`,
		Foreign: map[string]string{
			"spec.networkPolicy.metricsFrom[].namespaceSelector": "LabelSelector",
			"spec.networkPolicy.metricsFrom[].podSelector":       "LabelSelector",
			"spec.workload.affinity":                             "Affinity",
			"spec.workload.imagePullSecrets[]":                   "LocalObjectReference",
			"spec.workload.resources":                            "ResourceRequirements",
			"spec.workload.tolerations[]":                        "Toleration",
			"spec.workload.topologySpreadConstraints[]":          "TopologySpreadConstraint",
			"status.conditions[]":                                "Condition",
		},
	}
}
