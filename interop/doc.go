// Package interop holds the proof that bsrpc works with the Python package
// basic-socket-rpc 0.6.0 as it comes from PyPI, both ways. It is nothing but
// tests: they start the programs in python/, which use the package, and talk to
// them over real sockets. An interpreter that has the package is needed:
//
//	python3 -m venv ../.ci/cache/python
//	../.ci/cache/python/bin/pip install -r python/requirements.txt
//	BSRPC_PYTHON=$PWD/../.ci/cache/python/bin/python go test ./...
//
// Without BSRPC_PYTHON the tests are skipped. bash .ci/run interop does all of
// this.
package interop
