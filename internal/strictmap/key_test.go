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
