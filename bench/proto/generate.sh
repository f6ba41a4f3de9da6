#!/usr/bin/env bash
# Makes pb/ anew from echo.proto, and the code of msgp from ../mp/mp.go.
# Needs protoc (python3 -m pip install grpcio-tools, or PROTOC=/path/to/protoc)
# and Go, which fetches the plugins.
set -euo pipefail
cd "$(dirname "$0")"

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
export GOBIN=$bin PATH=$bin:$PATH
version() { (cd .. && go list -m -f '{{.Version}}' "$1"); }
go install "google.golang.org/protobuf/cmd/protoc-gen-go@$(version google.golang.org/protobuf)"
go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
go install "storj.io/drpc/cmd/protoc-gen-go-drpc@$(version storj.io/drpc)"
go install "github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc@$(version github.com/containerd/ttrpc)"
go install "connectrpc.com/connect/cmd/protoc-gen-connect-go@$(version connectrpc.com/connect)"
go install github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto@v0.6.0
go install "github.com/tinylib/msgp@$(version github.com/tinylib/msgp)"

find pb -name '*.go' ! -name doc.go -delete
module=github.com/bsrpc/bsrpc/bench/proto
${PROTOC:-python3 -m grpc_tools.protoc} -I. \
	--go_out=. --go_opt=module=$module \
	--go-grpc_out=. --go-grpc_opt=module=$module \
	--go-drpc_out=. --go-drpc_opt=module=$module \
	--go-ttrpc_out=. --go-ttrpc_opt=module=$module,prefix=TTRPC \
	--connect-go_out=. --connect-go_opt=module=$module \
	--go-vtproto_out=. --go-vtproto_opt=module=$module,features=marshal+unmarshal+size \
	echo.proto
(cd ../mp && msgp -file mp.go -o mp_gen.go -tests=false -io=false)
gofmt -w pb ../mp
