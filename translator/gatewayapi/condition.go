package gatewayapi

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/signetproxy/signet/translator/reason"
)

// Fault is why something is not as it is asked for.
type Fault struct {
	Reason reason.Reason
	// Message names the object, the field, what was found and what to do.
	Message string
}

// Conditions are the conditions of one object, or of one part of it, in order.
// Times are left zero: who writes a status knows when it changed.
type Conditions struct {
	Generation int64
	list       []metav1.Condition
}

// True adds a condition that holds.
func (c *Conditions) True(t reason.ConditionType, r reason.Reason, message string) {
	c.add(t, metav1.ConditionTrue, r, message)
}

// False adds a condition that does not hold.
func (c *Conditions) False(t reason.ConditionType, r reason.Reason, message string) {
	c.add(t, metav1.ConditionFalse, r, message)
}

// Judge adds a condition that holds unless there is a fault.
func (c *Conditions) Judge(t reason.ConditionType, f *Fault, r reason.Reason, message reason.Message) {
	if f != nil {
		c.False(t, f.Reason, f.Message)
		return
	}
	c.True(t, r, string(message))
}

// List returns the conditions. The caller may keep them.
func (c *Conditions) List() []metav1.Condition { return slices.Clone(c.list) }

func (c *Conditions) add(t reason.ConditionType, s metav1.ConditionStatus, r reason.Reason, message string) {
	// metav1.Condition.message holds at most 32768 characters.
	const most = 32_000
	if len(message) > most {
		message = message[:most] + "..."
	}
	c.list = append(c.list, metav1.Condition{
		Type: string(t), Status: s, Reason: string(r), Message: message, ObservedGeneration: c.Generation,
	})
}
