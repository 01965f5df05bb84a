package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Client sends single requests. Each is written and read by the goroutine that
// asks: what is measured shares its processors with who asks, and those of a
// transport's own took a quarter of each answer.
type Client struct {
	cfg Config

	mu   sync.Mutex
	idle map[string][]*line // by the host of TLS; "" for all others
}

// NewClient returns a client by the addresses, Roots and Timeout of a Config.
// Whoever calls it calls Close.
func NewClient(cfg Config) *Client {
	cfg.defaults()
	return &Client{cfg: cfg, idle: map[string][]*line{}}
}

// Close closes the connections that are kept.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, lines := range c.idle {
		for _, l := range lines {
			l.close()
		}
	}
	clear(c.idle)
}

// Do sends a request now; what it expects is not judged.
func (c *Client) Do(r Request) *Outcome { return call(c, &r, time.Now()) }

// line is a connection with at most one request on it.
type line struct {
	tcp net.Conn
	// conn is tcp, or TLS on it.
	conn  net.Conn
	read  *bufio.Reader
	write *bufio.Writer
	// answered is not 0 when the last request's answer has begun.
	answered int
	// since is when it was used last.
	since time.Time
}

func (l *line) close() { _ = l.conn.Close() } // nothing is lost with it

// isFree says that nothing has come since it was used last, not even its end.
func (l *line) isFree() bool {
	if time.Since(l.since) > maxIdle || l.read.Buffered() > 0 {
		return false
	}
	raw, ok := l.tcp.(syscall.Conn)
	if !ok {
		return false
	}
	c, err := raw.SyscallConn()
	if err != nil {
		return false
	}
	free := false
	err = c.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		free = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && free
}

// take returns a kept connection, or nil.
func (c *Client) take(key string) *line {
	c.mu.Lock()
	defer c.mu.Unlock()
	for lines := c.idle[key]; len(lines) > 0; lines = c.idle[key] {
		l := lines[len(lines)-1]
		c.idle[key] = lines[:len(lines)-1]
		if l.isFree() {
			return l
		}
		l.close()
	}
	return nil
}

func (c *Client) keep(key string, l *line) {
	l.since = time.Now()
	_ = l.conn.SetDeadline(time.Time{}) // isFree finds out if it is closed
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle[key]) >= c.cfg.Connections {
		l.close()
		return
	}
	c.idle[key] = append(c.idle[key], l)
}

func (c *Client) dial(r *Request, until time.Time) (*line, error) {
	tcp, err := (&net.Dialer{Deadline: until}).Dial("tcp", c.cfg.address(r))
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", r.Host, err)
	}
	l := &line{tcp: tcp, conn: tcp}
	if r.TLS {
		l.conn = tls.Client(tcp, &tls.Config{RootCAs: c.cfg.Roots, ServerName: r.Host, MinVersion: tls.VersionTLS12})
	}
	l.read, l.write = bufio.NewReader(l.conn), bufio.NewWriter(l.conn)
	return l, nil
}

func (c *Client) ask(r *Request, o *Outcome) error {
	until := time.Now().Add(c.cfg.Timeout)
	key, l := "", (*line)(nil)
	if r.TLS {
		key = r.Host
	}
	if !r.Fresh {
		l = c.take(key)
	}
	reused := l != nil
	if !reused {
		var err error
		if l, err = c.dial(r, until); err != nil {
			return err
		}
	}
	res, err := l.exchange(&c.cfg, r, o.Path, until)
	switch {
	case err == nil:
		err = o.take(res)
	case reused && l.answered == 0 && !isTimeout(err):
		err = ErrClosedUnder
	default:
		err = fmt.Errorf("asking %s: %w", r.Host, err)
	}
	if err != nil {
		l.close()
		return err
	}
	o.TLS, o.Reused = l.state(), reused
	if res.Close || r.Fresh {
		l.close()
		return nil
	}
	c.keep(key, l)
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// exchange writes a request and reads the head of its answer.
func (l *line) exchange(cfg *Config, r *Request, path string, until time.Time) (*http.Response, error) {
	req, err := cfg.request(context.Background(), r, path)
	if err != nil {
		return nil, err
	}
	req.Close = r.Fresh
	l.answered = 0
	if err := l.conn.SetDeadline(until); err != nil {
		return nil, fmt.Errorf("deadline: %w", err)
	}
	if err := req.Write(l.write); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	if err := l.write.Flush(); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	head, err := l.read.Peek(1)
	if err != nil {
		return nil, err
	}
	l.answered = len(head)
	res, err := http.ReadResponse(l.read, req)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return res, nil
}

func (l *line) state() *tls.ConnectionState {
	c, ok := l.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	s := c.ConnectionState()
	return &s
}
