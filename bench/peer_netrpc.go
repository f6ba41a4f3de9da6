package main

import (
	"net"
	"net/rpc"
)

// netRPC is the standard library's net/rpc with gob.
type netRPC struct{ universal }

type netRPCService struct{}

func (netRPCService) Small(in *Small, out *Small) error  { *out = *in; return nil }
func (netRPCService) Bulk(in []byte, out *[]byte) error  { *out = in; return nil }
func (netRPCService) Items(in []Item, out *[]Item) error { *out = in; return nil }

func (netRPCService) Hold(in *Small, out *Small) error {
	held.wait()
	*out = *in
	return nil
}

func (netRPC) name() string { return "net/rpc" }

func (netRPC) serve(l net.Listener) (stop func()) {
	srv := rpc.NewServer()
	if err := srv.RegisterName("Echo", netRPCService{}); err != nil {
		panic(err)
	}
	return serveConns(l, func(nc net.Conn) { srv.ServeConn(nc) })
}

func (netRPC) dial(d dialer) (client, error) {
	c, err := rpc.Dial(d.network, d.address)
	return netRPCClient{c}, err
}

type netRPCClient struct{ c *rpc.Client }

func (c netRPCClient) small(v Small) call { return c.smallBy("Echo.Small", v) }
func (c netRPCClient) hold(v Small) call  { return c.smallBy("Echo.Hold", v) }

func (c netRPCClient) smallBy(method string, v Small) call {
	return func(seq int64) error {
		v.ID = seq
		var got Small
		if err := c.c.Call(method, &v, &got); err != nil {
			return err
		}
		return checkSmall(got, v)
	}
}

func (c netRPCClient) bulk(b []byte) call {
	return func(seq int64) error {
		stamp(b, seq)
		var got []byte
		if err := c.c.Call("Echo.Bulk", b, &got); err != nil {
			return err
		}
		return checkBulk(got, b, seq)
	}
}

func (c netRPCClient) items(items []Item) call {
	return func(seq int64) error {
		items[0].ID = seq
		var got []Item
		if err := c.c.Call("Echo.Items", items, &got); err != nil {
			return err
		}
		return checkItems(got, items)
	}
}

func (c netRPCClient) close() { c.c.Close() }
