// Package folder is the source of a folder of Kubernetes manifests: files
// *.yaml, *.yml and *.json in the folder and its sub-folders, read once or
// watched.
//
// It promises what an API server would promise to a client: every object that
// it delivers is valid by its kind's schema, with defaults set and unknown
// fields reported; an invalid new version of an object leaves the old one in
// place, and without one a kind that protects others, a BackendTLSPolicy, is
// delivered in its closed form; a generation counts changes of the spec.
//
// What a file says is read when its writer has closed it; a new one that is not
// empty, also when it has stood still for 0.2 s, since nobody closes a file
// that is put in place by a name alone. The same goes for a file that is looked
// at because events were lost and is not as it was; if it is empty, what it
// said holds for 10 s. A file that cannot be parsed, and a file or folder that
// cannot be read, keep the objects they gave last. What cannot be read is tried
// again when its attributes change, and once a second. No more than 64 MiB are
// read of a file. What a vanished file alone stated goes when nothing has
// happened in the folder for a moment and git is not at work there, 0.1 s later
// at most: others remove a file before they write what takes its place. A
// folder that is replaced, through whichever of its ancestors, is read anew
// within a second as one step; while it is gone, what it held last stays. The
// same holds for what a symbolic link leads to: until the link itself is
// removed, what it led to last stays. The cost of a change follows the file
// that changed, not the size of the folder. Everything that is not delivered as
// written is a source.Problem with its file and line.
//
// It never writes to the folder, never follows what an object means, and keeps
// nothing between runs.
package folder
