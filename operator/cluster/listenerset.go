package cluster

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/status"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// messageLeft is what is said of a ListenerSet that has left.
const messageLeft = "no Gateway of Signet's takes the ListenerSet: the one that parentRef names is gone, or another controller's"

// mostVerdicts are kept of a ListenerSet: of those that come in a row some are not
// written.
const mostVerdicts = 4

// judged is what was said last of a ListenerSet of ours. Its status names no
// controller: by this it is known whose it is, when the ListenerSet has left.
type judged struct {
	uid      types.UID
	verdicts [][]metav1.Condition
}

// noteSets notes what a revision says of ListenerSets.
func (s *statuses) noteSets(rev *graph.Revision) {
	t := s.pipeline.Translator()
	for _, c := range graph.ChangesOf(rev, t.ListenerSetStatuses) {
		s.noteSet(rev.Reader(), c.Key)
	}
	for _, c := range graph.ChangesOf(rev, t.ListenerSets) {
		s.noteSet(rev.Reader(), c.Key)
	}
}

func (s *statuses) noteSet(r *graph.Reader, n ir.Name) {
	t := s.pipeline.Translator()
	x, ours := t.ListenerSetStatuses.Get(r, n)
	o, there := t.ListenerSets.Get(r, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.sets[n]
	if j != nil && (!there || j.uid != o.UID) {
		delete(s.sets, n)
		j = nil
	}
	if !ours || !there {
		return
	}
	if j == nil {
		j = &judged{uid: o.UID}
		s.sets[n] = j
	}
	if !j.said(x.Conditions) {
		j.verdicts = append(slices.Clone(j.verdicts[max(0, len(j.verdicts)-mostVerdicts+1):]), x.Conditions)
	}
}

// said says whether the conditions of an object are a verdict of ours.
func (j *judged) said(have []metav1.Condition) bool {
	return slices.ContainsFunc(j.verdicts, func(verdict []metav1.Condition) bool {
		for i := range verdict {
			c := meta.FindStatusCondition(have, verdict[i].Type)
			if c == nil {
				return false
			}
			x := *c
			x.LastTransitionTime = verdict[i].LastTransitionTime
			if x != verdict[i] {
				return false
			}
		}
		return true
	})
}

// listenerSet is the status of a ListenerSet. Of one that has left the Gateways of
// ours it says so, as long as what it says is what was said here.
func (s *statuses) listenerSet(n ir.Name) (any, bool) {
	t := s.pipeline.Translator()
	r := t.Current().Reader()
	if x, ok := t.ListenerSetStatuses.Get(r, n); ok {
		return &x, true
	}
	o, there := t.ListenerSets.Get(r, n)
	if !there || t.ListenerSetStatuses.Failure(r, n) != nil {
		return nil, false
	}
	have := &gatewayv1.ListenerSet{}
	if err := s.options.Reader.Get(context.Background(), client.ObjectKey{Namespace: n.Namespace, Name: n.Name}, have); err != nil {
		return nil, false // it is gone, or nobody watches it any more
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.sets[n]; j == nil || j.uid != o.UID || have.UID != o.UID || !j.said(have.Status.Conditions) {
		return nil, false
	}
	out := &gatewayv1.ListenerSetStatus{}
	for _, kind := range []reason.ConditionType{reason.ConditionAccepted, reason.ConditionProgrammed} {
		out.Conditions = append(out.Conditions, metav1.Condition{
			Type: string(kind), Status: metav1.ConditionFalse, Reason: string(reason.ParentNotAccepted), Message: messageLeft,
			ObservedGeneration: o.Generation,
		})
	}
	return status.Over{Version: have.ResourceVersion, Status: out}, true
}

// eachSet calls to for the ListenerSets that were judged, those that have left too.
func (s *statuses) eachSet(to func(status.Kind, ir.Name)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.sets {
		to(status.ListenerSet, n)
	}
}
