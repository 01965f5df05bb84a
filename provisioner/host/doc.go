// Package host runs Envoy as a child process.
//
// [Run] finds Envoy, gives it a private folder with a bootstrap and
// certificates, keeps the certificates fresh while it runs, starts it again
// after a crash, forwards what it logs, and drains it at the end.
//
// Between this process and Envoy stands a supervisor: the same binary, started
// with [SupervisorCommand]. It holds a pipe from its parent. However the parent
// ends, the pipe closes, and the supervisor stops Envoy and removes the folder;
// were the supervisor itself killed, the kernel kills Envoy (Linux) and the
// next [Run] removes the folder. So nothing is left behind.
//
// The package never decides what Envoy serves, never listens, and never passes
// a private key other than by a file of mode 0600.
package host
