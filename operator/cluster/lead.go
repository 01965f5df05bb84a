package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	provisioner "github.com/signetproxy/signet/provisioner/kubernetes"
)

const (
	// leaseName is the Lease by which one replica leads.
	leaseName = "signet-leader"
	// A leader that cannot renew for renewDeadline stops; another takes over
	// leaseDuration after the last renewal.
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second

	// reconcilers bounds the fleets that are reconciled at the same time.
	reconcilers = 4
)

// lead stands for election again and again, and leads for a term each time
// that it is elected.
func (c *Cluster) lead(ctx context.Context) error {
	if !c.cfg.LeaderElection {
		return c.term(ctx)
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, c.cfg.Namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}, c.cfg.REST, renewDeadline)
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	for ctx.Err() == nil {
		if err := c.stand(ctx, lock); err != nil {
			return err
		}
	}
	return nil
}

// stand waits to be elected, and returns after the term.
func (c *Cluster) stand(ctx context.Context, lock resourcelock.Interface) error {
	ctx, resign := context.WithCancel(ctx)
	defer resign()
	led := make(chan struct{})
	noted := &notedLock{Interface: lock}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: noted, Name: leaseName, ReleaseOnCancel: true,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				defer close(led)
				c.cfg.Log.Info("leading")
				switch err := c.term(ctx); {
				case errors.Is(err, errMoreRights):
					c.cfg.Log.Info(errMoreRights.Error())
				case err != nil && ctx.Err() == nil:
					c.cfg.Log.Error(err, "a term ended early: another replica may lead")
				}
				resign()
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	elector.Run(ctx)
	if noted.acquired.Load() {
		<-led // one term ends before the next begins
		c.cfg.Log.Info("not leading any more")
	}
	return nil
}

// notedLock notes that it was acquired: the elector tells of it nowhere else
// before its Run returns.
type notedLock struct {
	resourcelock.Interface

	acquired atomic.Bool
}

// RecordEvent implements resourcelock.Interface; the first event is that this
// replica leads.
func (l *notedLock) RecordEvent(event string) {
	l.acquired.Store(true)
	l.Interface.RecordEvent(event)
}

// term leads until ctx ends.
func (c *Cluster) term(ctx context.Context) error {
	m, err := c.newTerm(ctx)
	if err != nil {
		return err
	}
	c.statuses.begin()
	if err := m.Start(ctx); err != nil {
		return fmt.Errorf("term: %w", err)
	}
	return nil
}

// newTerm assembles what the leader does. Of the kinds that fleets own it
// watches only what is Signet's, and only the kinds that it may watch.
func (c *Cluster) newTerm(ctx context.Context) (manager.Manager, error) {
	slim, notSlim, err := c.watchable(ctx, owned())
	if err != nil {
		return nil, err
	}
	whole, notWhole, err := c.watchable(ctx, watchedWhole())
	if err != nil {
		return nil, err
	}
	ours := labels.SelectorFromSet(labels.Set{provisioner.LabelManagedBy: provisioner.Manager})
	by := map[client.Object]cache.ByObject{}
	for _, o := range slices.Concat(slim, whole) {
		by[o] = cache.ByObject{Label: ours}
	}
	options := manager.Options{
		Scheme: c.scheme, Logger: c.cfg.Log, HealthProbeBindAddress: "0", Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{ByObject: by, DefaultTransform: cache.TransformStripManagedFields()},
	}
	if len(c.cfg.Namespaces) > 0 {
		options.Cache.DefaultNamespaces = map[string]cache.Config{}
		for _, n := range c.cfg.Namespaces {
			options.Cache.DefaultNamespaces[n] = cache.Config{}
		}
	}
	m, err := manager.New(c.cfg.REST, options)
	if err != nil {
		return nil, fmt.Errorf("term: %w", err)
	}
	parts := []manager.RunnableFunc{c.authorities.Keep, c.statuses.run, c.events.Run}
	if not := slices.Concat(notSlim, notWhole); len(not) > 0 {
		parts = append(parts, func(ctx context.Context) error { return c.await(ctx, not) })
	}
	for _, part := range parts {
		if err := m.Add(part); err != nil {
			return nil, fmt.Errorf("term: %w", err)
		}
	}
	return m, c.controllers(m, slim, whole)
}

// controllers adds those of one term. Of the kinds of slim only the names are
// watched.
func (c *Cluster) controllers(m manager.Manager, slim, whole []client.Object) error {
	options := controller.Options{
		MaxConcurrentReconciles: reconcilers,
		SkipNameValidation:      new(true), // each term has one of this name
	}
	b := builder.ControllerManagedBy(m).Named("fleets").For(&v1alpha1.EnvoyFleet{}).WithOptions(options).
		WatchesRawSource(c.triggers.fleets.source())
	g := builder.ControllerManagedBy(m).Named("gateways").WatchesRawSource(c.triggers.gateways.source()).WithOptions(options).
		Watches(&v1alpha1.EnvoyFleet{}, handler.EnqueueRequestsFromMapFunc(c.triggers.shapedBy),
			builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	for _, o := range slim {
		b = b.Owns(o, builder.OnlyMetadata)
		g = g.Watches(o, handler.EnqueueRequestsFromMapFunc(ownerGateway), builder.OnlyMetadata)
	}
	for _, o := range whole {
		b = b.Owns(o)
		g = g.Watches(o, handler.EnqueueRequestsFromMapFunc(ownerGateway))
	}
	if err := b.Complete(c.fleets); err != nil {
		return fmt.Errorf("controller of fleets: %w", err)
	}
	if err := g.Complete(c.gateways); err != nil {
		return fmt.Errorf("controller of Gateways: %w", err)
	}
	k := builder.ControllerManagedBy(m).Named("gatewayclasses").WatchesRawSource(c.triggers.classes.source()).WithOptions(options)
	if err := k.Complete(c.classes); err != nil {
		return fmt.Errorf("controller of GatewayClasses: %w", err)
	}
	return nil
}

// owned are the kinds whose changes say only that a fleet is to be looked at.
func owned() []client.Object {
	return []client.Object{
		&corev1.ServiceAccount{}, &corev1.Secret{}, &networkingv1.NetworkPolicy{},
		&policyv1.PodDisruptionBudget{}, &autoscalingv2.HorizontalPodAutoscaler{},
	}
}

// watchedWhole are the kinds whose status counts.
func watchedWhole() []client.Object {
	return []client.Object{&corev1.Service{}, &appsv1.Deployment{}, &appsv1.DaemonSet{}}
}
