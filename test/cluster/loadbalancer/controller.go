package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Controller gives out the addresses of a pool.
type Controller struct {
	Client kubernetes.Interface
	Pool   netip.Prefix
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(c.Client, 0)
	informer := factory.Core().V1().Services()
	// One token: events that come while it works are answered by one more round.
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	})
	if err != nil {
		return fmt.Errorf("watch Services: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	// Without all Services it would give a taken address away.
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		return ctx.Err()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		if err := c.round(ctx, informer.Lister()); err != nil {
			fmt.Fprintf(os.Stderr, "load balancer: %v\n", err)
			// A status may have been written from an old Service: look again.
			time.AfterFunc(100*time.Millisecond, wake)
		}
	}
}

func (c *Controller) round(ctx context.Context, services corelisters.ServiceLister) error {
	all, err := services.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list Services: %w", err)
	}
	var errs []error
	for name, address := range plan(all, c.Pool) {
		if err := c.write(ctx, services, name, address); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("status of Service %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Controller) write(ctx context.Context, services corelisters.ServiceLister, name types.NamespacedName, a netip.Addr) error {
	service, err := services.Services(name.Namespace).Get(name.Name)
	if err != nil {
		return err
	}
	service = service.DeepCopy()
	service.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	if a.IsValid() {
		mode := corev1.LoadBalancerIPModeVIP
		service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: a.String(), IPMode: &mode}}
		fmt.Fprintf(os.Stderr, "load balancer: Service %s has %s\n", name, a)
	}
	_, err = c.Client.CoreV1().Services(name.Namespace).UpdateStatus(ctx, service, metav1.UpdateOptions{})
	return err
}
