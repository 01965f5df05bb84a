package load

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Config says what is sent; the zero value of a limit is its default.
type Config struct {
	// Rate is requests per second; it must be above 0.
	Rate float64
	// HTTP and HTTPS are the addresses, as host:port, that requests go to
	// whatever host they ask for. Only those that Next uses are needed.
	HTTP, HTTPS string
	// Roots are trusted for certificates of HTTPS.
	Roots *x509.CertPool
	// Next gives the n-th request, from 0; it is called in order, from one
	// goroutine, when the request is due, and must be quick.
	Next func(n int) Request
	// Duration and Count end the load; 0 leaves it to Stop.
	Duration time.Duration
	Count    int
	// Connections bounds the kept connections: of HTTP in all, of HTTPS for each
	// host; a request waits for one if all are in use. Default: 16.
	Connections int
	// Timeout bounds one request, its connection included. Default: 10 s.
	Timeout time.Duration
	// Open bounds the requests that are open at once. Default: 4,096.
	Open int
	// Keep bounds the failures that are kept in full. Default: 100.
	Keep int
}

func (c *Config) defaults() {
	c.Connections = cmp.Or(c.Connections, 16)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Open = cmp.Or(c.Open, 4096)
	c.Keep = cmp.Or(c.Keep, 100)
}

// Request is a GET.
type Request struct {
	// Host is the authority that is asked for, and with TLS the server name too.
	Host string
	// Path is "/" by default.
	Path   string
	Header http.Header
	// TLS sends it to Config.HTTPS.
	TLS bool
	// Fresh makes a connection for this request alone, with a whole handshake.
	Fresh bool
	// Expect returns nil for an outcome that is right, else what is wrong with
	// it; requests of one load call it concurrently. Nil is Code(200).
	Expect func(*Outcome) error
}

// ErrNotSent is the outcome of a request that was due while Config.Open others
// were open.
var ErrNotSent = errors.New("not sent: too many requests are open")

// ErrClosedUnder is the outcome of a request whose kept connection was closed
// before the first byte of an answer.
var ErrClosedUnder = errors.New("the connection was closed under the request")

// Code returns an Expect for an answer with that status code.
func Code(code int) func(*Outcome) error {
	return func(o *Outcome) error {
		switch {
		case o.Err != nil:
			return o.Err
		case o.Code != code:
			return fmt.Errorf("want %d", code)
		}
		return nil
	}
}

// Load is a running load.
type Load struct {
	cfg    Config
	pool   *pool
	record record
	quit   chan struct{}
	once   sync.Once
	done   chan struct{}
}

// Start begins at once. Whoever calls it calls Stop.
func Start(cfg Config) *Load {
	cfg.defaults()
	l := &Load{
		cfg: cfg, pool: newPool(cfg), record: record{keep: cfg.Keep},
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	go l.run()
	return l
}

// Done is closed when the load has ended and every request has its outcome.
func (l *Load) Done() <-chan struct{} { return l.done }

// Stop ends the load, waits for what is open, and returns all of it.
func (l *Load) Stop() Result {
	l.once.Do(func() { close(l.quit) })
	<-l.done
	return l.record.result()
}

// Result is what has come so far.
func (l *Load) Result() Result { return l.record.result() }

func (l *Load) run() {
	defer close(l.done)
	defer l.pool.close()
	var open sync.WaitGroup
	defer open.Wait()
	slots := make(chan struct{}, l.cfg.Open)
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; l.cfg.Count == 0 || n < l.cfg.Count; n++ {
		after := time.Duration(float64(n) / l.cfg.Rate * float64(time.Second))
		if l.cfg.Duration > 0 && after >= l.cfg.Duration {
			return
		}
		due := began.Add(after)
		if !l.await(timer, due) {
			return
		}
		r := l.cfg.Next(n)
		select {
		case slots <- struct{}{}:
			open.Go(func() {
				defer func() { <-slots }()
				l.judge(&r, call(l.pool, &r, due))
			})
		default:
			l.judge(&r, &Outcome{Host: r.Host, Path: r.Path, Due: due, Done: time.Now(), Err: ErrNotSent})
		}
	}
}

// await waits until a request is due, and tells whether it shall still be sent.
// A request that is late, because the machine was busy, goes at once.
func (l *Load) await(timer *time.Timer, due time.Time) bool {
	timer.Reset(time.Until(due))
	select {
	case <-l.quit:
		return false
	case <-timer.C:
		return true
	}
}

func (l *Load) judge(r *Request, o *Outcome) {
	expect := r.Expect
	if expect == nil {
		expect = Code(http.StatusOK)
	}
	l.record.add(o, expect(o))
}
