package main

// Contracts with every kind of type, for the tests of gen go.

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"time"
)

type (
	kindsA struct {
		Numbers  func(ctx context.Context, a numbers) (numbers, error)                                 `bsrpc:"id=7,timeout=2s,idempotent,names=all"`
		Formats  func(ctx context.Context, a int, b []uint32, c map[string]int16) (int64, error)       `bsrpc:"(be3,list len=le2 be3,list key=len=le1 varint) (uvarint),names=type ctx map"`
		Bytes    func(ctx context.Context, b []byte, f string, n []uint8, m []uint8) ([][]byte, error) `bsrpc:"(len=le2,fixed=7,list,le1) (elem=fixed=3)"`
		Lists    func(ctx context.Context, l lists) error                                              `bsrpc:"exclusive=bench,nowait"`
		Opaque   func(ctx context.Context, o opaques) (netip.Addr, error)                              `bsrpc:"() (text)"`
		Times    func(ctx context.Context, at time.Time, d time.Duration) (time.Time, error)           `bsrpc:"(binary,) (text)"`
		Optional func(ctx context.Context, a int, b *string) (int, []bool, error)                      `bsrpc:"(,optional) (optional,optional)"`
		Secret   func(ctx context.Context, s secrets, token string) ([]secrets, error)                 `bsrpc:"(,secret)"`
		Plain    func(ctx context.Context, s plainSecrets) error
		Tell     func(ctx context.Context, a int) error `bsrpc:"oneway"`
		Union    func(ctx context.Context, e event) (map[uint8]*event, error)
		Consts   func(ctx context.Context, f parcel) error
		Named    func(ctx context.Context) error `bsrpc:"name=other"`
		Empty    func(ctx context.Context, e struct{}, p *struct{}) (struct{}, error)
		Complex  func(ctx context.Context, c complex64, d [3]complex128) error `bsrpc:"(be4,)"`
		Maps     func(ctx context.Context, m map[pairKey]map[[2]int8][]map[string]bool) error
	}
	kindsB struct {
		Tree     func(ctx context.Context) (node, error)
		Trees    func(ctx context.Context) ([]node, error)
		Deep     func(ctx context.Context, p *node, q map[string]*node) error
		List     func(ctx context.Context, l nest) (nest, error)
		Nested   func(ctx context.Context, m nestedMap) error
		Pair     func(ctx context.Context, e even) (odd, error)
		Two      func(ctx context.Context, l nodeList) error
		Chain    func(ctx context.Context, c chain) error
		Expr     func(ctx context.Context, e expr) (expr, error)
		Twins    func(ctx context.Context, a twinA, b twinB) error
		Marked   func(ctx context.Context, m marked) error
		Words    func(ctx context.Context, w wordy1) error
		Watch    func(ctx context.Context, n int) iter.Seq2[item, error]              `bsrpc:"(le2) (list be4)"`
		Put      func(ctx context.Context, in iter.Seq2[[]int32, error]) (int, error) `bsrpc:"(list be4)"`
		Both     func(ctx context.Context, in iter.Seq2[node, error], r io.Reader) (int, iter.Seq2[node, error], error)
		Copy     func(ctx context.Context, r io.Reader) (io.ReadCloser, error)
		Render   func(ctx context.Context, scene string, progress func(done, of int), confirm func(ctx context.Context, question node) (bool, error)) (int64, error)
		Callback func(ctx context.Context, f func(ctx context.Context) error, g func()) error
	}

	numbers struct {
		A  bool
		B  int8
		C  int16
		D  int32
		E  int64
		F  int
		G  uint8
		H  uint16
		I  uint32
		J  uint64
		K  uint
		L  float32
		M  float64
		N  complex64
		O  complex128
		P  int16   `bsrpc:"be2"`
		Q  int32   `bsrpc:"le3"`
		R  uint32  `bsrpc:"be4"`
		S  int64   `bsrpc:"le5"`
		T  uint64  `bsrpc:"be6"`
		U  int64   `bsrpc:"varint"`
		V  int     `bsrpc:"uvarint"`
		W  uint    `bsrpc:"varint"`
		X  float64 `bsrpc:"be8"`
		Y  uint64  `bsrpc:"name=why,be7"`
		Z  level
		É  string `bsrpc:"utf8,max=9"`
		Ok bool   `bsrpc:"name=z"`
	}
	level uint8

	lists struct {
		A []int
		B []int                 `bsrpc:"list"`
		C []int                 `bsrpc:"len=le2"`
		D []int                 `bsrpc:"bytes=le1,be2"`
		E [][]uint8             `bsrpc:"le1"`
		F []byte                `bsrpc:"bytes=le2,le1"`
		G [4][]*int16           `bsrpc:"list,len=varint,be2"`
		H []string              `bsrpc:"list,len=le2,elem=(len=le1 max=32)"`
		I map[int]string        `bsrpc:"list,len=le1,key=be2,elem=len=le1"`
		J map[string][]int      `bsrpc:"key=(fixed=4),elem=(list),be3"`
		K map[uint8]bool        `bsrpc:"bytes=be2"`
		L *[]*[2]string         `bsrpc:"elem=len=be2"`
		M **int                 `bsrpc:"le3"`
		N [][]map[bool][]uint16 `bsrpc:"elem=(elem=(list elem=list)),be2"`
		O []time.Duration
		P [0]int
	}

	opaques struct {
		A netip.Addr
		B *netip.Prefix `bsrpc:"text"`
		C url.URL
		D big.Int
		E *big.Rat
		F big.Float `bsrpc:"text"`
		G net.IP    `bsrpc:"text"`
		H net.IP
		I slog.Level `bsrpc:"text"`
		J map[netip.Addr]netip.AddrPort
		K []time.Time `bsrpc:"elem=text"`
	}

	secrets struct {
		User string
		Key  string                `bsrpc:"secret,len=le1"`
		Sub  map[string][]password `bsrpc:"optional"`
	}
	password struct {
		Text string `bsrpc:"secret"`
	}
	plainSecrets struct {
		User string
		Key  string                `bsrpc:"len=le1"`
		Sub  map[string][]password `bsrpc:"optional"`
	}

	event struct {
		_       struct{} `bsrpc:"union"`
		Alarm   *alarm
		Reading *float32 `bsrpc:"be4"`
		Idle    *struct{}
		Maybe   **int `bsrpc:"optional"`
		More    *[]event
	}
	alarm struct {
		Level uint8
		Text  string `bsrpc:"len=le1"`
	}
	parcel struct {
		_    uint16 `bsrpc:"be2,const=0xB562"`
		_    int8   `bsrpc:"const=-5"`
		Kind uint8
		_    uint32 `bsrpc:"varint,const=300"`
	}
	pairKey struct {
		A [2]string `bsrpc:"len=le1"`
		B int
	}

	node struct {
		Value int
		Kids  []node
		Link  *node
	}
	nest      []nest
	nestedMap map[string]*nestedMap
	even      struct{ Next *odd }
	odd       struct{ Next *even }
	nodeList  []listNode
	listNode  struct{ Kids []listNode }
	chain     struct {
		Next  *chain
		Other map[string][]chain
		Leaf  struct{ A, B int }
	}
	expr struct {
		_   struct{} `bsrpc:"union"`
		Num *int
		Add *[2]expr
		Neg *expr
		Let *let
	}
	let struct {
		Name string
		In   expr
	}
	twinA  struct{ Next *twinB }
	twinB  struct{ Next *twinA }
	marked struct {
		Val  int `bsrpc:"secret"`
		Next *marked
	}
	wordy1 struct {
		Kids  []wordy1 `bsrpc:"list,len=le2"`
		Other []wordy1 `bsrpc:"list"`
		Again *wordy2
	}
	wordy2 struct {
		Kids []wordy1 `bsrpc:"list,len=le2"`
	}
	item []uint32
)
