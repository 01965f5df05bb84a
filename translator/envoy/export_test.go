package envoy

// FormatCommands are the commands that header values may hold; true stands for
// one that needs an argument.
var FormatCommands = formatCommands
