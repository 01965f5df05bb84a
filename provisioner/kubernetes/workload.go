package kubernetes

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
)

const (
	// runFolder holds the bootstrap and the socket of Envoy's admin interface.
	runFolder = "/run/signet"
	// identityFolder is where the Secret with the identity is mounted.
	identityFolder = "/etc/signet/identity"
	bootstrapFile  = runFolder + "/bootstrap.json"
	adminSocket    = runFolder + "/admin.sock"

	// user is nobody in particular.
	user = 65532

	defaultDrain = time.Minute
	// graceAfterDrain is the time between the end of a drain and the kill.
	graceAfterDrain = 10 * time.Second

	// heapShare of the limit of memory is where Envoy begins to refuse
	// requests; the rest is for what its allocator does not count.
	heapShare = 80
)

func (f *Fleet) workload() client.Object {
	template := f.template()
	selector := &metav1.LabelSelector{MatchLabels: f.selector()}
	none, one := intstr.FromInt32(0), intstr.FromInt32(1)
	if f.Spec.Workload.Kind == v1alpha1.DaemonSetWorkload {
		return &appsv1.DaemonSet{
			APIVersion: "apps/v1", Kind: "DaemonSet",
			ObjectMeta: f.meta(f.Name),
			Spec: appsv1.DaemonSetSpec{
				Selector: selector, Template: template, RevisionHistoryLimit: new(int32(3)),
				UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
					Type:          appsv1.RollingUpdateDaemonSetStrategyType,
					RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &none, MaxSurge: &one},
				},
			},
		}
	}
	out := &appsv1.Deployment{
		APIVersion: "apps/v1", Kind: "Deployment",
		ObjectMeta: f.meta(f.Name),
		Spec: appsv1.DeploymentSpec{
			Selector: selector, Template: template, RevisionHistoryLimit: new(int32(3)),
			// No Envoy goes before the next one serves.
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: new(intstr.FromString("25%"))},
			},
		},
	}
	// With an autoscaler the number is its own.
	if f.Spec.Workload.Autoscaling == nil {
		out.Spec.Replicas = cmp.Or(f.Spec.Workload.Replicas, new(int32(2)))
	}
	return out
}

func (f *Fleet) template() corev1.PodTemplateSpec {
	w := &f.Spec.Workload
	drain := cmp.Or(w.DrainTime.Duration, defaultDrain)
	annotations := w.PodAnnotations
	if m := f.Spec.Metrics.ScrapeAnnotations; m == nil || *m {
		annotations = with(map[string]string{
			"prometheus.io/scrape": "true", "prometheus.io/port": strconv.Itoa(StatusPort), "prometheus.io/path": "/stats/prometheus",
		}, annotations)
	}
	annotations = with(annotations, f.annotations())
	return corev1.PodTemplateSpec{
		Labels: with(w.PodLabels, f.labels()), Annotations: annotations,
		Spec: corev1.PodSpec{
			ServiceAccountName: f.Name, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
			ImagePullSecrets: w.ImagePullSecrets, PriorityClassName: w.PriorityClassName,
			NodeSelector: w.NodeSelector, Affinity: cmp.Or(w.Affinity, f.apart()), Tolerations: w.Tolerations,
			TopologySpreadConstraints:     f.spread(),
			TerminationGracePeriodSeconds: new(int64((drain + graceAfterDrain) / time.Second)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(user)), RunAsGroup: new(int64(user)), FSGroup: new(int64(user)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			InitContainers: []corev1.Container{f.bootstrap()},
			Containers:     []corev1.Container{f.envoy(drain)},
			Volumes: []corev1.Volume{
				{Name: "run", EmptyDir: &corev1.EmptyDirVolumeSource{}},
				{Name: "identity", Secret: &corev1.SecretVolumeSource{
					SecretName: f.SecretName(), DefaultMode: new(int32(0o440)),
				}},
			},
		},
	}
}

// apart is the default affinity: one node's end is not the fleet's.
func (f *Fleet) apart() *corev1.Affinity {
	if f.Spec.Workload.Kind == v1alpha1.DaemonSetWorkload {
		return nil
	}
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: f.selector()},
			},
		}},
	}}
}

func (f *Fleet) spread() []corev1.TopologySpreadConstraint {
	out := slices.Clone(f.Spec.Workload.TopologySpreadConstraints)
	for i := range out {
		if out[i].LabelSelector == nil {
			out[i].LabelSelector = &metav1.LabelSelector{MatchLabels: f.selector()}
		}
	}
	return out
}

// bootstrap is the container that writes what Envoy starts from. All of it is
// in the arguments, so that a change of it is a new pod.
func (f *Fleet) bootstrap() corev1.Container {
	args := []string{
		"envoy", "bootstrap",
		"--fleet=" + f.Identity.String(), "--node=$(POD_NAME)", "--xds-address=" + f.XDSAddress,
		"--identity-folder=" + identityFolder, "--folder=" + runFolder,
		"--status-address=$(POD_IP)", "--status-port=" + strconv.Itoa(StatusPort),
	}
	if r := f.Spec.Workload.Resources; r != nil {
		if limit := r.Limits.Memory().Value(); limit > 0 {
			args = append(args, "--max-heap-bytes="+strconv.FormatInt(limit/100*heapShare, 10))
		}
	}
	if p := f.Spec.Patches; p != nil && p.Bootstrap != nil {
		args = append(args, "--patch="+escape(p.Bootstrap.Raw))
	}
	c := f.container("bootstrap", "signet", args)
	c.Env = []corev1.EnvVar{fieldOf("POD_NAME", "metadata.name"), fieldOf("POD_IP", "status.podIP")}
	c.Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
	}}
	return c
}

func fieldOf(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
	}}
}

func (f *Fleet) envoy(drain time.Duration) corev1.Container {
	w := &f.Spec.Workload
	args := []string{
		"--config-path", bootstrapFile, "--disable-hot-restart", "--log-level", "warning",
		"--drain-time-s", strconv.Itoa(int(drain / time.Second)), "--drain-strategy", "immediate",
	}
	if n := f.concurrency(); n > 0 {
		args = append(args, "--concurrency", strconv.Itoa(n))
	}
	c := f.container(envoyName, "envoy", args)
	if w.Resources != nil {
		c.Resources = *w.Resources
	} else {
		c.Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("256Mi"),
		}}
	}
	if f.Gateway == nil {
		for _, l := range f.listeners() {
			c.Ports = append(c.Ports, corev1.ContainerPort{Name: l.name, ContainerPort: l.bound, Protocol: l.protocol})
		}
	}
	c.Ports = append(c.Ports, corev1.ContainerPort{Name: "status", ContainerPort: StatusPort, Protocol: corev1.ProtocolTCP})
	// An Envoy that waits for its control plane is not ready, and must not be
	// restarted for it: there is no liveness probe.
	c.ReadinessProbe = &corev1.Probe{
		HTTPGet: &corev1.HTTPGetAction{
			Path: "/ready", Port: intstr.FromString("status"), Scheme: corev1.URISchemeHTTP,
		},
		PeriodSeconds: 1, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
	}
	c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{
		"signet", "envoy", "drain", "--admin-socket=" + adminSocket, "--timeout=" + drain.String(),
	}}}}
	return c
}

// concurrency is the number of Envoy's workers; 0 is one per processor.
func (f *Fleet) concurrency() int {
	w := &f.Spec.Workload
	switch {
	case w.Concurrency != nil:
		return int(*w.Concurrency)
	case w.Resources != nil && !w.Resources.Limits.Cpu().IsZero():
		return int(w.Resources.Limits.Cpu().Value()) // rounded up
	}
	return 0
}

func (f *Fleet) container(name, command string, args []string) corev1.Container {
	return corev1.Container{
		Name: name, Image: cmp.Or(f.Spec.Workload.Image, f.Image), ImagePullPolicy: f.Spec.Workload.ImagePullPolicy,
		Command: []string{command}, Args: args,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Privileged: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "run", MountPath: runFolder},
			{Name: "identity", MountPath: identityFolder, ReadOnly: true},
		},
	}
}
