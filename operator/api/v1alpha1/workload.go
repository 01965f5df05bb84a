package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// WorkloadKind is the kind of object that runs the Envoys.
//
// +kubebuilder:validation:Enum=Deployment;DaemonSet
type WorkloadKind string

// The kinds of workloads.
const (
	DeploymentWorkload WorkloadKind = "Deployment"
	DaemonSetWorkload  WorkloadKind = "DaemonSet"
)

// Workload says how Envoys run.
//
// +kubebuilder:validation:XValidation:rule="self.kind == 'Deployment' || !has(self.replicas)",message="replicas needs kind Deployment: a DaemonSet has one Envoy a node"
// +kubebuilder:validation:XValidation:rule="self.kind == 'Deployment' || !has(self.autoscaling)",message="autoscaling needs kind Deployment"
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || !has(self.autoscaling)",message="set either replicas or autoscaling: one of the two decides the number of Envoys"
type Workload struct {
	// Kind is Deployment, or DaemonSet for one Envoy on every node.
	//
	// +optional
	// +kubebuilder:default=Deployment
	Kind WorkloadKind `json:"kind,omitempty"`

	// Replicas is the number of Envoys of a Deployment. Default: 2.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`

	// Autoscaling lets the load decide the number of Envoys. Default: replicas
	// does.
	//
	// +optional
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"`

	// Image that holds Envoy and signet. Default: the operator's
	// --envoy-image.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// ImagePullPolicy of the image. Default: Kubernetes' own, by the tag.
	//
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// ImagePullSecrets are Secrets of the fleet's namespace with credentials
	// for the image's registry. Default: none.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// Resources of Envoy's container. With a limit of memory Envoy refuses
	// requests near it, rather than being killed. Default: requests of 100m of
	// cpu and 256Mi of memory, no limits.
	//
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// Concurrency is Envoy's number of worker threads. Default: the limit of
	// cpu rounded up, without one the node's processors.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Concurrency *int32 `json:"concurrency,omitempty"`

	// NodeSelector chooses nodes by labels. Default: any node.
	//
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// Affinity of the pods. Default: pods of the fleet prefer to be apart, on
	// different nodes.
	//
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// Tolerations of the pods. Default: none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// TopologySpreadConstraints of the pods. A constraint without a
	// labelSelector counts the pods of the fleet. Default: none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// PriorityClassName of the pods. Default: the cluster's.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// PodLabels are added to the pods; those by which Signet finds them cannot
	// be changed. Default: none.
	//
	// +optional
	PodLabels map[string]string `json:"podLabels,omitempty"`

	// PodAnnotations are added to the pods. Default: none.
	//
	// +optional
	PodAnnotations map[string]string `json:"podAnnotations,omitempty"`

	// DisruptionBudget bounds how many Envoys may be evicted at the same time.
	// Default: at most one is not available, and no bound for a DaemonSet, of
	// which Kubernetes counts minAvailable as a number alone.
	//
	// +optional
	DisruptionBudget *DisruptionBudget `json:"disruptionBudget,omitempty"`

	// DrainTime is how long an Envoy that ends goes on with open requests, as a
	// Go duration, from 1s to 1h. It ends sooner when no connection is left.
	//
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="drainTime must be from 1s to 1h"
	DrainTime metav1.Duration `json:"drainTime,omitzero"`
}

// Autoscaling sets bounds and a target for the number of Envoys.
//
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="minReplicas must not be above maxReplicas"
type Autoscaling struct {
	// MinReplicas is the lowest number of Envoys.
	//
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	MinReplicas int32 `json:"minReplicas,omitempty"`

	// MaxReplicas is the highest number of Envoys.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas"`

	// TargetCPUUtilization is the use of cpu that is aimed for, in percent of
	// what the Envoys request.
	//
	// +optional
	// +kubebuilder:default=70
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	TargetCPUUtilization int32 `json:"targetCPUUtilization,omitempty"`
}

// DisruptionBudget bounds evictions; each value is a number of Envoys or a
// share in percent, such as "25%".
//
// +kubebuilder:validation:XValidation:rule="has(self.minAvailable) != has(self.maxUnavailable)",message="set either minAvailable or maxUnavailable"
type DisruptionBudget struct {
	// MinAvailable Envoys must stay.
	//
	// +optional
	// +kubebuilder:validation:XIntOrString
	MinAvailable *intstr.IntOrString `json:"minAvailable,omitempty"`

	// MaxUnavailable Envoys may be gone.
	//
	// +optional
	// +kubebuilder:validation:XIntOrString
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// NetworkPolicy says who may reach the Envoys.
type NetworkPolicy struct {
	// MetricsFrom are the peers that may reach the port of metrics. Default:
	// all.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	MetricsFrom []NetworkPolicyPeer `json:"metricsFrom,omitempty"`
}

// NetworkPolicyPeer chooses pods by their labels and their namespace's.
type NetworkPolicyPeer struct {
	// PodSelector chooses pods. Default: all.
	//
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`

	// NamespaceSelector chooses namespaces. Default: the fleet's.
	//
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// Metrics says how the Envoys' metrics are found. They are served in the
// format of Prometheus on port 19001 of every pod, at /stats/prometheus.
type Metrics struct {
	// ScrapeAnnotations puts the annotations prometheus.io/scrape, port and
	// path on the pods.
	//
	// +optional
	// +kubebuilder:default=true
	ScrapeAnnotations *bool `json:"scrapeAnnotations,omitempty"`
}

// Patches change what Signet has made, right before it is applied. A patch that
// cannot be applied stops the fleet's objects where they are, and the fleet
// says so; name, namespace, labels of selection and owner cannot be changed.
type Patches struct {
	// Deployment is a strategic merge patch of the Deployment.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Deployment *runtime.RawExtension `json:"deployment,omitempty"`

	// DaemonSet is a strategic merge patch of the DaemonSet.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	DaemonSet *runtime.RawExtension `json:"daemonSet,omitempty"`

	// Service is a strategic merge patch of the Service.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Service *runtime.RawExtension `json:"service,omitempty"`

	// Bootstrap is a merge patch (RFC 7396) of Envoy's bootstrap, in Envoy's
	// JSON with its field names. A list is replaced as a whole. What connects
	// Envoy to Signet cannot be changed.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Bootstrap *runtime.RawExtension `json:"bootstrap,omitempty"`
}
