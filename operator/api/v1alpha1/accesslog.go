package v1alpha1

// AccessLogOutput is where an access log is written.
//
// +kubebuilder:validation:Enum=Stdout;Stderr
type AccessLogOutput string

// The outputs of an access log.
const (
	AccessLogStdout AccessLogOutput = "Stdout"
	AccessLogStderr AccessLogOutput = "Stderr"
)

// AccessLogFormat is the form of an access log's lines.
//
// +kubebuilder:validation:Enum=Text;JSON
type AccessLogFormat string

// The forms of an access log's lines.
const (
	AccessLogText AccessLogFormat = "Text"
	AccessLogJSON AccessLogFormat = "JSON"
)

// AccessLogFilter chooses what is logged.
//
// +kubebuilder:validation:Enum=All;Errors;Status
type AccessLogFilter string

// The filters of an access log.
const (
	AccessLogAll    AccessLogFilter = "All"
	AccessLogErrors AccessLogFilter = "Errors"
	AccessLogStatus AccessLogFilter = "Status"
)

// AccessLog says what the Envoys log of HTTP requests, TCP connections and UDP
// sessions, one line each, when it is over. Default: all of them, as text, to
// standard output.
//
// +kubebuilder:validation:XValidation:rule="!has(self.text) || !has(self.format) || self.format == 'Text'",message="text needs format Text"
// +kubebuilder:validation:XValidation:rule="!has(self.json) || (has(self.format) && self.format == 'JSON')",message="json needs format JSON"
// +kubebuilder:validation:XValidation:rule="has(self.minimumStatus) == (has(self.filter) && self.filter == 'Status')",message="filter Status needs minimumStatus, and no other filter has it"
type AccessLog struct {
	// Enabled is false for no access log at all.
	//
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// Output is Stdout or Stderr of the Envoys' containers. Envoy's own messages
	// go to Stderr.
	//
	// +optional
	// +kubebuilder:default=Stdout
	Output AccessLogOutput `json:"output,omitempty"`

	// Format is Text, a line of the format in text, or JSON, an object a line with
	// the members in json.
	//
	// +optional
	// +kubebuilder:default=Text
	Format AccessLogFormat `json:"format,omitempty"`

	// Text is a format string with Envoy's commands, as %RESPONSE_CODE%; a line
	// break is added where it ends without one. A command that is not in
	// docs/accesslog.md is refused: then Accepted is False, and the access log
	// stays as it was. Default: Envoy's own format, followed by the upstream
	// cluster, the response code's details and why the handshake with a backend
	// failed.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Text string `json:"text,omitempty"`

	// JSON maps the names of an object's members to format strings. A value of one
	// command that is a number becomes a number, and what is not known null.
	// Default: the members in docs/accesslog.md.
	//
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.size() > 0 && name.size() <= 128 && self[name].size() <= 1024)",message="a name has 1 to 128 characters, a format string at most 1024"
	JSON map[string]string `json:"json,omitempty"`

	// Filter is All, Errors for statuses from 500 and whatever Envoy gives
	// response flags, or Status for statuses from minimumStatus. TCP and UDP have
	// no status: with both of the latter they are logged when they have flags.
	//
	// +optional
	// +kubebuilder:default=All
	Filter AccessLogFilter `json:"filter,omitempty"`

	// MinimumStatus is the lowest HTTP status that the filter Status logs.
	//
	// +optional
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=599
	MinimumStatus *int32 `json:"minimumStatus,omitempty"`
}
