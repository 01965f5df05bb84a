// Package load sends HTTP requests through an Envoy at a fixed rate and has
// every outcome judged.
//
// It is an open model: request n is due at start + n/rate and starts then,
// whatever became of those before it, and latency counts from the moment at
// which it was due. So a stall shows in the latency of all requests that it
// held up, and not as a lower rate.
//
//	l := load.Start(load.Config{
//		Rate: 500, HTTP: "127.0.0.1:8080", HTTPS: "127.0.0.1:8443", Roots: pool,
//		Next: func(n int) load.Request {
//			return load.Request{Host: "a.test", TLS: n%2 == 0, Expect: load.Code(200)}
//		},
//	})
//	... change things ...
//	r := l.Stop()
//	r.Unexpected      // how many outcomes were refused
//	r.Failures        // the first of them: when, which host, what came
//	r.Latency.At(0.99)
//
// A Timeline tells which versions of something that changes meanwhile an answer
// may show.
//
// It promises:
//   - Expect is called once for each request that was due, with the answer or
//     with why there was none; what it refuses is counted and, up to
//     Config.Keep, kept with its times, host, code and the body's head. Nothing
//     is tried again: a request that the HTTP client would send a second time
//     in silence, because its connection was closed under it, is an error.
//   - Memory is bounded, however long it runs: latencies are a histogram,
//     failures are capped, and at most Config.Open requests are open at once. A
//     request that is due beyond that is not sent; its outcome is ErrNotSent.
//   - Stop, the end of Config.Duration or of Config.Count ends it; requests that
//     are open then are waited for, at most Config.Timeout, and never cut off.
//
// It never follows a redirect, never reads more than 64 KiB of a body, and
// knows nothing of Signet: what an answer must be is the caller's to say.
package load
