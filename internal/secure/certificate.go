package secure

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A Certificate is a certificate and its key in files, read again after a change. It is safe
// for concurrent use.
type Certificate struct {
	names [2]string // of the certificate and the key

	mu      sync.Mutex // guards the rest
	cert    *tls.Certificate
	files   [2]os.FileInfo // of the last reading, whether it has succeeded or not
	failed  bool           // it has not
	checked time.Time      // time of the last look at the files
}

// checkEvery is the time between two looks at the files. A peer causes handshakes, so the
// work of each is limited.
const checkEvery = time.Second

// LoadCertificate reads a certificate and its key.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{names: [2]string{certFile, keyFile}, checked: time.Now()}
	return c, c.load(c.stat())
}

// ForServer is the GetCertificate of a tls.Config.
func (c *Certificate) ForServer(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Current() }

// ForClient is the GetClientCertificate of a tls.Config.
func (c *Certificate) ForClient(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.Current()
}

// Current returns the certificate for a handshake. If reading the files fails, it remains
// that of before: they may be replaced one after the other.
func (c *Certificate) Current() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.checked) < checkEvery {
		return c.cert, nil
	}
	c.checked = now
	files := c.stat()
	changed := !sameFile(files[0], c.files[0]) || !sameFile(files[1], c.files[1])
	if changed || c.failed {
		// Once for each change, not for each handshake.
		if err := c.load(files); err != nil && changed {
			go slog.Warn("bsrpc: certificate files have changed and cannot be used; the last good certificate remains", "certificate", c.names[0], "key", c.names[1], "err", err)
		}
	}
	return c.cert, nil
}

// stat looks at the files. One that is missing has no FileInfo.
func (c *Certificate) stat() (files [2]os.FileInfo) {
	for i, name := range c.names {
		files[i], _ = os.Stat(name)
	}
	return files
}

// load reads the files, which stat has looked at before: a later change is then seen by the
// next look.
func (c *Certificate) load(files [2]os.FileInfo) error {
	c.files = files
	cert, err := tls.LoadX509KeyPair(c.names[0], c.names[1])
	c.failed = err != nil
	if err == nil {
		c.cert = &cert
	}
	return err
}

// sameFile reports whether a file is unchanged.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
