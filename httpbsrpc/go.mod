module github.com/bsrpc/bsrpc/httpbsrpc

go 1.25

require github.com/bsrpc/bsrpc v0.0.0

require github.com/mitchellh/mapstructure v1.5.0 // indirect

replace github.com/bsrpc/bsrpc => ../
