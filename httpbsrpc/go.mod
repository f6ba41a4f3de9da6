module github.com/bsrpc/bsrpc/httpbsrpc

go 1.25

require (
	github.com/bsrpc/bsrpc v0.0.0
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
)

require (
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/mitchellh/mapstructure v1.5.0 // indirect
)

replace github.com/bsrpc/bsrpc => ../
