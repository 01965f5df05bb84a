package bootstrap

// BootstrapFile is the name of the bootstrap among [Files].
const BootstrapFile = "bootstrap.json"

// Files renders all that an Envoy in a pod starts from, by file name, for the
// folder c.CertificateFolder: the bootstrap, with a merge patch applied where
// there is one (see [Patch]), and the SDS files that refer to the Secret that is
// mounted at identityFolder. None of them is secret.
func Files(c Config, identityFolder string, patch []byte) (map[string][]byte, error) {
	b, err := Bootstrap(c)
	if err != nil {
		return nil, err
	}
	if len(patch) > 0 {
		if b, err = Patch(b, patch); err != nil {
			return nil, err
		}
	}
	identity, err := IdentityOf(identityFolder)
	if err != nil {
		return nil, err
	}
	trust, err := TrustOf(identityFolder)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{BootstrapFile: b, IdentityFile: identity, TrustFile: trust}, nil
}
