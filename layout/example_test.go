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

func ExampleAppendJSON() {
	l, err := layout.Parse("{Host string.le1; Port uint.be2; Labels map[le1 string.le1]bool}")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := layout.AppendJSON(nil, l, []byte("\x05lab-3\x1f\x90\x01\x03new\x01"))
	fmt.Println(string(text), err)
	_, err = layout.AppendJSON(nil, l, []byte("\x05lab-3\x1f"))
	fmt.Println(err)
	// Output:
	// {"Host":"lab-3","Port":8080,"Labels":{"new":true}} <nil>
	// Port: want 2 bytes, have 1, offset 6
}

func ExampleParseJSON() {
	l, err := layout.Parse("{Host string.le1; Port uint.be2}")
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := layout.ParseJSON(nil, l, []byte(`{"Port": 8080, "Host": "lab-3"}`))
	fmt.Printf("%q %v\n", data, err)
	_, err = layout.ParseJSON(nil, l, []byte(`{"Host": "lab-3", "Prt": 8080}`))
	fmt.Println(err)
	_, err = layout.ParseJSON(nil, l, []byte(`{"Host": "lab-3", "Port": 80800}`))
	fmt.Println(err)
	// Output:
	// "\x05lab-3\x1f\x90" <nil>
	// unknown field; did you mean Port?, offset 18
	// Port: a number out of range; the layout has an unsigned 16-bit integer, offset 26
}

func ExampleJSON_secret() {
	l, err := layout.Parse("{User string.le1; Password string.le1}")
	if err != nil {
		fmt.Println(err)
		return
	}
	o := layout.JSON{Secret: []string{"Password"}}
	text, err := o.Append(nil, l, []byte("\x03bob\x06hunter"))
	fmt.Println(string(text), err)
	// Output:
	// {"User":"bob","Password":"***"} <nil>
}
