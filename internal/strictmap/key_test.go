package strictmap

import "testing"

func TestMatches(t *testing.T) {
	tests := []struct {
		field    string
		yes, not []string
	}{
		{"MaxMessage",
			[]string{"MaxMessage", "maxmessage", "MAXMESSAGE", "mAXmESSAGE", "max-message", "max_message", "Max-Message", "MAX_MESSAGE"},
			[]string{"", "max", "message", "max message", "max.message", "max--message", "max-_message", "-max-message", "max-message_", "m-axmessage", "maxmessages"}},
		{"ID", []string{"id", "ID", "Id"}, []string{"i-d", "i_d"}},
		{"HTTPSize", []string{"httpsize", "http-size", "HTTP_SIZE"}, []string{"h-t-t-p-size", "https-ize"}},
		{"MaxHTTPSize", []string{"max-http-size", "max-httpsize", "maxhttp_size"}, []string{"max-h-ttp-size"}},
		{"ServeIPv6", []string{"serveipv6", "serve-ipv6"}, []string{"serve-ipv-6", "serve-ip-v6"}},
		{"Größe", []string{"größe", "GRÖßE"}, []string{"grosse", "gr\xc3\xb6"}},
		{"X", []string{"x"}, []string{"-", "_x", "xx"}},
	}
	for _, test := range tests {
		for _, key := range test.yes {
			if !matches(key, test.field) {
				t.Errorf("%q does not match %s", key, test.field)
			}
		}
		for _, key := range test.not {
			if matches(key, test.field) {
				t.Errorf("%q matches %s", key, test.field)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	fields := []string{"MaxMessage", "MaxInflight", "HandshakeTimeout", "ID"}
	tests := map[string]string{
		"max-mesage": "MaxMessage", "MaxMessages": "MaxMessage", "max in flight": "MaxInflight", "handshaketime": "HandshakeTimeout",
		"di": "ID", "idx": "ID", "timeout": "", "port": "", "": "",
	}
	for key, want := range tests {
		if got := Nearest(key, fields); got != want {
			t.Errorf("nearest to %q is %q, want %q", key, got, want)
		}
	}
}

func TestLevenshtein(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"depth", "deth", 1}, {"ab", "ba", 1}, {"shpo", "shop", 1}, {"abc", "cab", 2},
	}
	for _, test := range tests {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q is %d, want %d", test.a, test.b, got, test.want)
		}
		if got := editDistance(test.b, test.a); got != test.want {
			t.Errorf("%q to %q is %d, want %d", test.b, test.a, got, test.want)
		}
	}
}
