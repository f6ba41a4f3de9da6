// Package interop is tests alone: bsrpc against the Python package
// basic-socket-rpc as it comes from PyPI, both ways. They run where BSRPC_PYTHON
// names a Python that has the package:
//
//	python3 -m venv /tmp/bsrpc && /tmp/bsrpc/bin/pip install -r python/requirements.txt
//	BSRPC_PYTHON=/tmp/bsrpc/bin/python3 go test ./...
package interop
