package quarantine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// Told is a refusal as one replica tells it to another: an Envoy is connected
// to one of them alone. It has no bytes of a resource, which may be secret.
type Told struct {
	Namespace string     `json:"namespace"`
	Fleet     string     `json:"fleet"`
	Type      envoy.Type `json:"type"`
	Name      string     `json:"name"`
	Part      string     `json:"part,omitempty"`
	Version   string     `json:"version"`
	// Message is Envoy's.
	Message string `json:"message"`
	// Serves says what the Envoys of that replica have instead.
	Serves reason.Message `json:"serves"`
}

func (x *Told) key() translator.RefusalKey {
	return translator.RefusalKey{
		Fleet: ir.Name{Namespace: x.Namespace, Name: x.Fleet}, Type: x.Type, Name: x.Name, Part: x.Part,
	}
}

// mostTold bounds what is told, and what is learned from each of the others.
const mostTold = 1000

// Told is what Envoys of this replica refuse now and whose culprit is known, in
// a fixed order. It must not be changed.
func (q *Quarantine) Told() []Told {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.told
}

// Learn takes what all other replicas tell, in place of what they told before.
// The objects of this replica say it too, and what is sent to its Envoys stays
// as it is: they judge by themselves.
func (q *Quarantine) Learn(all []Told) {
	q.mu.Lock()
	same := slices.Equal(q.learned, all)
	q.learned = all
	q.mu.Unlock()
	if !same {
		q.look()
	}
}

// publish notes what is told. Of too many, the first by name are: the same again as
// long as they are refused, since what comes and goes is recomputed elsewhere.
func (q *Quarantine) publish(t *translator.Translator, rev *graph.Revision) {
	var told []Told
	for _, key := range slices.SortedFunc(maps.Keys(q.said), byKey) {
		x, ok := t.Refusals.Get(rev.Reader(), key)
		if !ok || x.Idle {
			continue
		}
		if len(told) == mostTold {
			break
		}
		row := q.said[key]
		told = append(told, Told{
			Namespace: key.Fleet.Namespace, Fleet: key.Fleet.Name, Type: key.Type, Name: key.Name, Part: key.Part,
			Version: row.Version, Message: row.Message, Serves: x.Serves,
		})
	}
	q.mu.Lock()
	q.told = told
	q.mu.Unlock()
}

func byKey(a, b translator.RefusalKey) int {
	return cmp.Or(cmp.Compare(a.Fleet.Namespace, b.Fleet.Namespace), cmp.Compare(a.Fleet.Name, b.Fleet.Name),
		cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Part, b.Part))
}

// adopt adds what other replicas tell to rows, which are about to be written,
// where this one knows nothing itself.
func (q *Quarantine) adopt(rows map[translator.RefusalKey]*translator.Refusal) {
	q.mu.Lock()
	learned := q.learned
	q.mu.Unlock()
	now := make(map[translator.RefusalKey]*translator.Refusal, len(learned))
	for i := range learned {
		x := &learned[i]
		key := x.key()
		if q.book.rows[key] != nil || now[key] != nil {
			continue
		}
		row := &translator.Refusal{Version: x.Version, Message: x.Message, Elsewhere: cmp.Or(x.Serves, reason.MessageFailsClosed)}
		if was := q.elsewhere[key]; was != nil && was.Version == row.Version && was.Message == row.Message && was.Elsewhere == row.Elsewhere {
			row = was
		}
		now[key] = row
	}
	for key := range q.elsewhere {
		if now[key] == nil && q.book.rows[key] == nil {
			rows[key] = nil
		}
	}
	maps.Copy(rows, now)
	q.elsewhere = now
}
