module github.com/bsrpc/bsrpc

go 1.25

require (
	github.com/google/go-cmp v0.7.0
	github.com/mitchellh/mapstructure v1.5.0
)
