package layout_test

import (
	"fmt"

	"github.com/bsrpc/bsrpc/layout"
)

func ExampleDiff() {
	client, err := layout.ParseMethod("Shop.PlaceOrder({ID int.le8; Price int.le4}) bool")
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := layout.ParseMethod("Shop.PlaceOrder({ID int.le8; Price uint.le8; Note string.le4}) bool")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range layout.Diff(client, server) {
		fmt.Println(d)
	}
	// Output:
	// parameter 1, Price: client int.le4, server uint.le8
	// parameter 1, Note: only on the server
}
