package ir

// AccessLog says what a fleet's Envoys log of requests and connections; nil
// logs nothing.
type AccessLog struct {
	// Stderr writes to Envoy's standard error in place of its standard output.
	Stderr bool
	// Text is the format string of a line, with its line break; empty where
	// Fields are written as JSON.
	Text string
	// Fields are the members of a JSON object a line, sorted by Name.
	Fields []LogField
	// Only leaves out what is of no interest.
	Only LogFilter
	// MinimumStatus is for LogStatus: the lowest HTTP status that is logged.
	MinimumStatus uint32
}

// LogField is a member of a JSON object: Format is a format string of Envoy.
type LogField struct{ Name, Format string }

// LogFilter chooses what is logged. What has no HTTP status, as a TCP
// connection, is logged by all but LogAll when something went wrong with it.
type LogFilter int

// The filters.
const (
	// LogAll logs every request and connection.
	LogAll LogFilter = iota
	// LogErrors logs statuses from 500, and whatever Envoy has flagged.
	LogErrors
	// LogStatus logs statuses from MinimumStatus.
	LogStatus
)
