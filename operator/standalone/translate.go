package standalone

import (
	"fmt"
	"io"
	"time"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/report"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/folder"
)

// Default ports of a translation, which binds none.
const (
	defaultHTTPPort  = 8080
	defaultHTTPSPort = 8443
)

// Translate translates a folder, a file, or in (for "-") once, as of now, and
// reports statuses and Envoy resources. It runs nothing and listens nowhere.
func Translate(from string, in io.Reader, now time.Time) (*report.Report, error) {
	batch, err := folder.Read(from, in)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", from, err)
	}
	p := pipeline.New(pipeline.Options{Fleet: FleetSpec("127.0.0.1", defaultHTTPPort, defaultHTTPSPort), SystemTrust: source.SystemTrust()})
	rev := p.Once(batch, now)
	b := report.Builder{Translator: p.Translator(), Fleets: p.Fleets()}
	r := b.Build(rev)
	r.AddProblems(batch.Problems)
	if err := b.AddResources(r, p.Translator().Resources(rev)); err != nil {
		return nil, fmt.Errorf("translation: %w", err)
	}
	return r, nil
}
