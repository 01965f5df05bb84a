package reason

// Reason is the machine-readable reason of a condition or of an entry in it:
// CamelCase, stable over releases.
type Reason string
