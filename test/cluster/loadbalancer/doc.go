// Package loadbalancer gives Services of type LoadBalancer an address of a
// pool and writes it into their status; kube-proxy serves it from there. It
// stands for a cloud's load balancer in a test cluster.
//
// The Services' statuses are its only memory: a restart changes no address. It
// honours spec.loadBalancerIP, leaves Services with a loadBalancerClass to
// others, and takes the address back when a Service is of that type no more.
package loadbalancer
