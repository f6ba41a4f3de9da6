package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// makeCerts makes an authority, and certificates of a server and a client, in a folder.
func makeCerts(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "lab")
	for _, words := range []string{"ca", "server 127.0.0.1 lab.example", "client ann"} {
		check(t, 0, ".crt and ", append([]string{"cert", "--dir", dir}, strings.Fields(words)...)...)
	}
	return dir
}

// leafOf reads a certificate.
func leafOf(t *testing.T, dir, base string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, base+".crt"), filepath.Join(dir, base+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

// The certificates serve the options of a server and the flags of the command, and no others.
func TestCertHandshake(t *testing.T) {
	dir := makeCerts(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	pem, err := os.ReadFile(file("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	cert, err := bsrpc.ReloadingCertificate(file("127.0.0.1.crt"), file("127.0.0.1.key"))
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan []string, 8)
	srv := newDesk(t, &bsrpc.ServerOptions{
		TLS: &tls.Config{GetCertificate: cert.GetCertificate, ClientCAs: pool},
		OnConnect: func(_ context.Context, s *bsrpc.Session) error {
			names <- s.Peer().CertificateNames
			return nil
		},
	})
	address := serve(t, srv)
	check(t, 0, "Desk\n", "list", address, "--ca", file("ca.crt"), "--cert", file("ann.crt"), "--key", file("ann.key"))
	if have := <-names; len(have) != 1 || have[0] != "ann" {
		t.Errorf("the server sees %q", have)
	}
	check(t, 0, "Desk\n", "list", address, "--ca", file("ca.crt"), "--cert", file("ann.crt"), "--key", file("ann.key"), "--server-name", "lab.example")
	check(t, 3, "certificate", "list", address, "--ca", file("ca.crt"))
	check(t, 3, "certificate", "list", address, "--ca", file("ca.crt"), "--cert", file("ann.crt"), "--key", file("ann.key"), "--server-name", "other.example")
	// A server's certificate is not one of a client.
	check(t, 3, "certificate", "list", address, "--ca", file("ca.crt"), "--cert", file("127.0.0.1.crt"), "--key", file("127.0.0.1.key"))
	other := makeCerts(t)
	check(t, 3, "certificate", "list", address, "--ca", filepath.Join(other, "ca.crt"), "--cert", file("ann.crt"), "--key", file("ann.key"))
}

func TestCertFiles(t *testing.T) {
	dir := makeCerts(t)
	now := time.Now()
	for base, days := range map[string]int{"ca": caDays, "127.0.0.1": leafDays, "ann": leafDays} {
		c := leafOf(t, dir, base)
		key, ok := c.PublicKey.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s: the key is a %T", base, c.PublicKey)
		}
		if c.NotBefore.After(now) || c.NotAfter.Sub(now).Round(24*time.Hour) != time.Duration(days)*24*time.Hour {
			t.Errorf("%s: valid from %v to %v", base, c.NotBefore, c.NotAfter)
		}
		if c.IsCA != (base == "ca") {
			t.Errorf("%s: an authority: %v", base, c.IsCA)
		}
		info, err := os.Stat(filepath.Join(dir, base+".key"))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: the key has mode %v, %v", base, info.Mode(), err)
		}
	}
	// Files are kept without --force, both of them.
	before := leafOf(t, dir, "ann")
	check(t, 2, "--force", "cert", "client", "ann", "--dir", dir)
	os.Remove(filepath.Join(dir, "ann.crt"))
	check(t, 2, "ann.key exists; replace it with --force", "cert", "client", "ann", "--dir", dir)
	check(t, 0, "ann.crt", "cert", "client", "ann", "--dir", dir, "--force", "--days", "10")
	if after := leafOf(t, dir, "ann"); after.SerialNumber.Cmp(before.SerialNumber) == 0 || after.NotAfter.After(now.AddDate(0, 0, 11)) {
		t.Errorf("--force has not replaced the certificate: %v", after.NotAfter)
	}
	info, err := os.Stat(filepath.Join(dir, "ann.key"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the new key has mode %v, %v", info.Mode(), err)
	}
	// A certificate ends with its authority.
	check(t, 0, "ca.crt", "cert", "ca", "Short", "--dir", dir, "--force", "--days", "30")
	check(t, 0, "bob", "cert", "client", "bob", "--dir", dir)
	if c := leafOf(t, dir, "bob"); c.NotAfter.After(now.AddDate(0, 0, 31)) || c.Issuer.CommonName != "Short" {
		t.Errorf("until %v, by %v", c.NotAfter, c.Issuer)
	}
}

func TestCertMistakes(t *testing.T) {
	dir := makeCerts(t)
	for want, args := range map[string][]string{
		"make an authority first, with bsrpc cert ca": {"server", "lab", "--dir", t.TempDir()},
		"is neither a host name nor an IP address":    {"server", "lab:7342"},
		`"1.2.3" is neither`:                          {"server", "1.2.3"},
		`"a\\x1b[2J" is neither`:                      {"server", "a\x1b[2J"},
		`cannot be a name in a certificate`:           {"client", "a\x1b[2J"},
		"want 1 to 64 bytes":                          {"client", strings.Repeat("x", 65)},
		"0 names; want: bsrpc cert server NAME...":    {"server"},
		"2 names; want: bsrpc cert client NAME":       {"client", "a", "b"},
		`"ca" cannot be the name of the files`:        {"client", "ca"},
		`"CA" cannot be the name of the files`:        {"client", "CA"},
		`"../x" cannot be the name of the files`:      {"client", "a", "--out", "../x"},
		"--days: want 1 to 36500":                     {"client", "a", "--days", "-1"},
		"name the folder of the authority with --dir": {"client", "a", "--ca", "ca.crt"},
		"cert srver: want ca, server or client":       {"srver", "a"},
	} {
		args = append([]string{"cert", "--dir", dir}, args...)
		check(t, 2, want, args...)
	}
	// An authority that is none.
	other := t.TempDir()
	for _, end := range []string{".crt", ".key"} {
		if err := os.Link(filepath.Join(dir, "ann"+end), filepath.Join(other, "ca"+end)); err != nil {
			t.Fatal(err)
		}
	}
	check(t, 2, "ca.crt is not an authority; make one in another folder", "cert", "client", "x", "--dir", other)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 6 {
		t.Errorf("%d files, %v", len(entries), err)
	}
}

func TestCertPrints(t *testing.T) {
	dir := t.TempDir()
	s := &session{t: t, names: strings.NewReplacer(dir, "DIR", time.Now().AddDate(0, 0, caDays).Format(time.DateOnly), "DATE", time.Now().AddDate(0, 0, leafDays).Format(time.DateOnly), "DATE")}
	s.run("cert", "ca", "--dir", dir)
	s.run("cert", "server", "*.lab.example", "10.0.0.7", "--dir", dir)
	s.run("cert", "client", "bench 7", "--dir", dir)
	s.run("cert", "client", "ann", "--dir", dir, "--json")
	s.run("cert", "client", "ann", "--dir", dir, "--json")
	compareFile(t, "testdata/cert.golden", s.text.String())
	exit, out, _ := bsrpcCommand(t, "", "cert", "server", strings.Repeat("a.", 100)+"lab", "--dir", dir, "--json")
	var made struct{ Certificate, Key, Kind, Until string }
	if err := json.Unmarshal([]byte(out), &made); exit != 0 || err != nil || made.Kind != "server" {
		t.Errorf("exit %d, %q, %v", exit, out, err)
	}
}

func FuzzHostName(f *testing.F) {
	for _, s := range []string{"lab.example", "*.lab", "10.0.0.7", "a..b", "-a", "a_b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !isHostName(s) {
			return
		}
		c := &certificate{kind: "server", name: "x", hosts: []string{s}, days: 1}
		crt, _, err := c.sign(nil)
		if err != nil || len(crt) == 0 {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
