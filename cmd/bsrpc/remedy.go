package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/bsrpc/bsrpc"
)

// notConnected returns the error of Dial, with TLS or without, and what to try.
func (t *target) notConnected(err error, secure bool) error {
	f := failureOf(err)
	f.Exit = cmp.Or(f.interrupted(), exitNetwork)
	text, flags := t.remedy(err, f, secure)
	if f.flags = flags; text != "" {
		f.Details = append(f.Details, text)
	}
	return f
}

// remedy returns what to try after an error of Dial, with TLS or without, and whether that is other flags
// in any case: then waiting does not help.
func (t *target) remedy(err error, f *failure, secure bool) (text string, flags bool) {
	switch f.Code {
	case bsrpc.CodeUnauthenticated.String():
		return t.otherCredentials(), true
	case bsrpc.CodeFailedPrecondition.String(), bsrpc.CodeInvalidArgument.String():
		return "", true // the error names the flags
	case bsrpc.CodeCanceled.String(), bsrpc.CodeResourceExhausted.String():
		return "", false // the server is there
	}
	if t.queued != nil && t.queued.Load() {
		return "", false
	}
	if text, flags := t.tlsRemedy(err); text != "" {
		return text, flags
	}
	var name *net.DNSError
	switch isUnix := strings.HasPrefix(t.address, unixPrefix); {
	case errors.As(err, &name) && name.IsNotFound:
		return "this name has no address: is it spelt right?", false
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens on " + t.address + ": is the server running, and the address right?", false
	case isUnix && errors.Is(err, fs.ErrNotExist):
		return "there is no such socket: is the server running, and the path right?", false
	case isUnix && errors.Is(err, fs.ErrPermission):
		return "the socket is for other users", false
	case secure:
		return "is a bsrpc server with TLS listening on " + t.address + "? Without TLS leave out --tls, --ca, --cert and --server-name", false
	}
	return "is a bsrpc server listening on " + t.address + "? With TLS add --tls, or --ca for an authority of your own", false
}

// otherCredentials returns what to try if the server does not accept those of the flags.
func (t *target) otherCredentials() string {
	switch {
	case t.tokenFile == "" && t.token == "" && t.cert == "":
		return "give a token with --token-file, or a certificate with --cert and --key"
	case t.tokenFile == "" && t.token == "":
		return "the server does not accept this certificate; a token is given with --token-file"
	case t.user == "":
		return "the server does not accept this token: has it expired, or does it need a name with --user?"
	}
	return "the server does not accept this token of " + clean(t.user, maxWord) + ": has it expired?"
}

// tlsRemedy is remedy for certificates, "" for other errors.
func (t *target) tlsRemedy(err error) (text string, flags bool) {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var network *net.OpError
	switch {
	case errors.As(err, &authority):
		return "name the PEM file of its authority with --ca", true
	case errors.As(err, &host):
		return "give a name that its certificate has, with --server-name", true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server needs a new certificate, unless the clock of this machine is wrong", false
	case errors.As(err, &network) && network.Op == "remote error" && t.cert != "": // an alert of the server
		return "the server does not accept the certificate in --cert", true
	case errors.As(err, &network) && network.Op == "remote error":
		return "the server may want a certificate: give --cert and --key", true
	}
	return "", false
}
