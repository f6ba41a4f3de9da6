package main

import (
	"cmp"
	"crypto"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const certHelp = `cert makes certificates for a lab without an authority of its own: ECDSA P-256,
for TLS 1.3. Begin with bsrpc cert ca, which makes ca.crt and ca.key. Copy ca.crt to each
machine; ca.key signs, and should stay where it is.

Keys are files that their owner alone can read. Files are never replaced without --force.`

// The authority is in two files of the folder.
const authority = "ca"

// The days that certificates are valid. Programs outlive the authority of a lab rarely, and
// browsers accept no server beyond 398.
const (
	caDays   = 3650
	leafDays = 397
)

// A certMaker makes certificates in a folder.
type certMaker struct {
	*target
	dir   string
	out   string // base name of the files; "" for the name of the certificate
	days  int
	force bool
}

func newCert(t *target) *cobra.Command {
	m := &certMaker{target: t}
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "make certificates for TLS: an authority, servers, clients",
		Long:  certHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("cert %s: want ca, server or client; see bsrpc cert --help", clean(args[0], maxWord))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&m.dir, "dir", ".", "`folder` of the files; the authority is ca.crt and ca.key there")
	flags.IntVar(&m.days, "days", 0, fmt.Sprintf("validity in days (default %d, %d for an authority)", leafDays, caDays))
	flags.BoolVar(&m.force, "force", false, "replace files")
	cmd.AddCommand(
		m.command("ca [NAME]", "an authority: ca.crt and ca.key", 0, 1, m.authority),
		m.command("server NAME...", "a server, by its host names and IP addresses", 1, -1, m.server),
		m.command("client NAME", "a client; servers see the name in Peer.CertificateNames", 1, 1, m.client),
	)
	return cmd
}

// command returns a command that takes min to max arguments; a max of -1 means any number.
func (m *certMaker) command(use, short string, min, max int, f func(*cobra.Command, []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) < min || max >= 0 && len(args) > max:
				return usage("%s; want: %s", count(len(args), "name"), cmd.UseLine())
			case m.ca != "" || m.cert != "" || m.key != "":
				return usage("--ca, --cert and --key are for connecting; name the folder of the authority with --dir")
			case m.days < 0 || m.days > 100*365:
				return usage("--days: want 1 to 36500")
			}
			return nil
		},
		RunE: f,
	}
	if max != 0 && !strings.HasPrefix(use, authority) {
		cmd.Flags().StringVar(&m.out, "out", "", "base `name` of the files (default the first NAME)")
	}
	return cmd
}

// authority makes an authority.
func (m *certMaker) authority(cmd *cobra.Command, args []string) error {
	c := &certificate{kind: "authority", name: append(args, "bsrpc lab")[0], days: cmp.Or(m.days, caDays)}
	if err := m.write(authority, c, nil); err != nil {
		return err
	}
	crt := m.file(authority + ".crt")
	return m.print(cmd, authority, c, fmt.Sprintf(`clients trust it with bsrpc --ca %[1]s, or in a program:
    pem, err := os.ReadFile(%[2]q)
    pool := x509.NewCertPool()
    pool.AppendCertsFromPEM(pem)
    bsrpc.ClientOptions{TLS: &tls.Config{RootCAs: pool}}
servers that require certificates of their clients:
    bsrpc.ServerOptions{TLS: &tls.Config{..., ClientCAs: pool}}
next: bsrpc cert server NAME...`, crt, crt))
}

// server makes the certificate of a server.
func (m *certMaker) server(cmd *cobra.Command, args []string) error {
	c := &certificate{kind: "server", name: args[0], days: cmp.Or(m.days, leafDays)}
	if len(c.name) > maxCommonName { // clients verify the other names
		c.name = c.kind
	}
	for _, name := range args {
		if ip := net.ParseIP(name); ip != nil {
			c.ips = append(c.ips, ip)
		} else if isHostName(name) {
			c.hosts = append(c.hosts, name)
		} else {
			return usage("%q is neither a host name nor an IP address; a port is not part of it", clean(name, maxWord))
		}
	}
	base, host := m.base(args[0]), args[0]
	if err := m.leaf(base, c); err != nil {
		return err
	}
	if strings.HasPrefix(host, "*.") {
		host = "HOST"
	}
	return m.print(cmd, base, c, fmt.Sprintf(`in the server:
    cert, err := bsrpc.ReloadingCertificate(%q, %q)
    bsrpc.ServerOptions{TLS: &tls.Config{GetCertificate: cert.GetCertificate}}
clients: bsrpc list %s --ca %s`,
		m.file(base+".crt"), m.file(base+".key"), net.JoinHostPort(host, "PORT"), m.file(authority+".crt")))
}

// client makes the certificate of a client.
func (m *certMaker) client(cmd *cobra.Command, args []string) error {
	c := &certificate{kind: "client", name: args[0], days: cmp.Or(m.days, leafDays)}
	base := m.base(args[0])
	if err := m.leaf(base, c); err != nil {
		return err
	}
	crt, key, ca := m.file(base+".crt"), m.file(base+".key"), m.file(authority+".crt")
	return m.print(cmd, base, c, fmt.Sprintf(`the server asks for it with TLS: &tls.Config{..., ClientCAs: pool} and %[3]s in the pool
clients: bsrpc list HOST:PORT --ca %[3]s --cert %[1]s --key %[2]s, or in a program:
    cert, err := bsrpc.ReloadingCertificate(%[1]q, %[2]q)
    bsrpc.ClientOptions{TLS: &tls.Config{RootCAs: pool, GetClientCertificate: cert.GetClientCertificate}}`, crt, key, ca))
}

// base returns the base name of the files of a certificate: --out, or its name without what a
// file system may not like.
func (m *certMaker) base(name string) string {
	if m.out != "" {
		return m.out
	}
	return strings.Map(func(r rune) rune {
		if r < '0' && r != '-' && r != '.' || strings.ContainsRune(`/\:;<=>?[]|`, r) || !printable(r) {
			return '_'
		}
		return r
	}, name)
}

// file returns the path of a file.
func (m *certMaker) file(name string) string { return filepath.Join(m.dir, name) }

// leaf makes a certificate signed by the authority.
func (m *certMaker) leaf(base string, c *certificate) error {
	if strings.EqualFold(base, authority) || strings.HasPrefix(base, ".") || filepath.Base(base) != base {
		return usage("%q cannot be the name of the files; give another one with --out", clean(base, maxWord))
	}
	crt, key := m.file(authority+".crt"), m.file(authority+".key")
	pair, err := tls.LoadX509KeyPair(crt, key)
	switch {
	case os.IsNotExist(err):
		return usage("%v; make an authority first, with bsrpc cert ca, or name its folder with --dir", err)
	case err != nil:
		return usage("%s, %s: %v", crt, key, err)
	case !pair.Leaf.IsCA:
		return usage("%s is not an authority; make one in another folder, with bsrpc cert ca --dir", crt)
	case time.Now().After(pair.Leaf.NotAfter):
		return usage("%s was valid until %s; replace it with bsrpc cert ca --force", crt, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	return m.write(base, c, &signer{pair.Leaf, pair.PrivateKey.(crypto.Signer)})
}

// write writes a certificate and its key.
func (m *certMaker) write(base string, c *certificate, by *signer) error {
	if strings.ContainsFunc(c.name, func(r rune) bool { return !printable(r) }) || c.name == "" || len(c.name) > maxCommonName {
		return usage("%q cannot be a name in a certificate: want 1 to %d bytes of printable text", clean(c.name, maxWord), maxCommonName)
	}
	crt, key, err := c.sign(by)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return usage("--dir: %v", err)
	}
	names := []string{m.file(base + ".crt"), m.file(base + ".key")}
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil && !m.force {
			return usage("%s exists; replace it with --force, or choose another --dir", name)
		}
	}
	// The key is the first: ReloadingCertificate goes on with the old pair until both fit.
	if err := m.create(names[1], key, 0o600); err != nil {
		return err
	}
	return m.create(names[0], crt, 0o644)
}

// create writes a new file; with --force under its name once it is complete, in place of another
// one. Neither follows a symbolic link.
func (m *certMaker) create(name string, data []byte, mode os.FileMode) error {
	to := name
	if m.force {
		to += ".new"
		os.Remove(to)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return usage("%v", err)
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil && m.force {
		err = os.Rename(to, name)
	}
	if err != nil {
		os.Remove(to)
		return usage("%v", err)
	}
	return nil
}

// print prints what was made, and what to put where.
func (m *certMaker) print(cmd *cobra.Command, base string, c *certificate, next string) error {
	crt, key, until := m.file(base+".crt"), m.file(base+".key"), c.until.Format(time.DateOnly)
	about := map[string]any{"certificate": crt, "key": key, "kind": c.kind, "names": c.names(), "until": until}
	return m.printLine(cmd.OutOrStdout(), about, fmt.Sprintf("%s and %s: %s %s, valid until %s\n%s", crt, key, c.kind, strings.Join(c.names(), ", "), until, next))
}

// isHostName reports whether name has the form of a host name in a certificate, which may begin
// with "*.".
func isHostName(name string) bool {
	name = strings.TrimPrefix(name, "*.")
	for label := range strings.SplitSeq(name, ".") {
		ok := label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		if !ok || strings.ContainsFunc(label, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
		}) {
			return false
		}
	}
	// All digits would be read as an IP address.
	return len(name) <= 253 && strings.Trim(name, "0123456789.") != ""
}
