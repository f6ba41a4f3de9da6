// Package pbconnect is what protoc-gen-connect-go makes of echo.proto.
package pbconnect
