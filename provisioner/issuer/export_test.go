package issuer

import "io/fs"

// FailWrites makes writes fail as fail says: tests may run as root, whom no mode of
// a folder stops.
func (i *Issuer) FailWrites(fail func(name string) error) {
	put := i.put
	i.put = func(folder, name string, content []byte, mode fs.FileMode) error {
		if err := fail(name); err != nil {
			return err
		}
		return put(folder, name, content, mode)
	}
}
